import { formatRangeHeader, parseContentRange } from '../core/byte-range.ts'
import { DragonflyError } from '../core/error.ts'
import { NO_VALIDATOR, type Validator } from '../core/generation.ts'
import { Http1Connection } from '../net/http1-connection.ts'
import { type ProxySettings, proxyFor } from '../net/proxy.ts'
import { isFieldValue } from '../wire/http-field.ts'
import type { ResponseHead } from '../wire/http1.ts'
import { EMPTY_BODY, HttpBody } from './http-body.ts'
import { cancelled, statusFailure, translateFailure } from './http-failure.ts'
import {
  callerPart,
  contentLengthOf,
  planRange,
  type RangePlan,
  rangeHeaders,
  readPartialContent,
  saysEmpty,
} from './http-range.ts'
import { followRedirect, type Hop, isRedirect } from './http-redirect.ts'
import { type CallerHeaders, formatRequest, takeCallerHeaders } from './http-request.ts'
import { parseHttpUrl, targetOf } from './http-url.ts'
import type {
  Origin,
  OriginAnswer,
  OriginOptions,
  OriginRequest,
  ProbeAnswer,
  ProbeRequest,
} from './origin.ts'
import { type Trust, TrustStore, withoutAuthorities } from './trust.ts'

/**
 * Origins that speak HTTP/1.1, with or without TLS. One connection per request, GET only. Bodies are passed as they come, whatever
 * their Content-Encoding says.
 */
export function createHttpOrigin(options: OriginOptions): Origin {
  const settings = { ...options, trusts: new TrustStore(options.ca) }
  return {
    open: request => open(request, settings),
    probe: request => probe(request, settings),
  }
}

type Settings = OriginOptions & { readonly trusts: TrustStore }

async function open(request: OriginRequest, settings: Settings): Promise<OriginAnswer> {
  const plan = planRange(request)
  const conditions = request.isRevalidation ? revalidationHeaders(request.validator) : []
  const exchange = await follow(request, [...rangeHeaders(plan), ...conditions], settings)
  try {
    return readAnswer(exchange, { request, plan, isConditional: conditions.length > 0 })
  } catch (thrown) {
    exchange.connection.destroy()
    throw thrown
  }
}

async function probe(request: ProbeRequest, settings: Settings): Promise<ProbeAnswer> {
  const first = callerPart(request.headers)?.start ?? 0
  const { connection, head, host } = await follow(
    request,
    [['range', formatRangeHeader(first, first + 1)]],
    settings,
  )
  connection.destroy()
  const contentDisposition = head.headers.get('content-disposition') ?? null
  const said = { validator: validatorOf(head), contentDisposition }
  if (head.status === 200) return { ...said, lengthBytes: contentLengthOf(head) }
  const contentRange = parseContentRange(head.headers.get('content-range') ?? '')
  if (head.status === 206) return { ...said, lengthBytes: contentRange?.completeLength ?? null }
  // 416: there is no such byte, and the origin has just said so to this caller.
  if (head.status === 416) return { ...said, lengthBytes: saysEmpty(head) ? 0 : null }
  throw statusFailure(head, host, false)
}

/** A request sent and its answer's head read; redirects are behind us. */
type Exchange = {
  readonly connection: Http1Connection
  readonly head: ResponseHead
  readonly host: string
  readonly signal: AbortSignal
}

async function follow(request: ProbeRequest, own: CallerHeaders, settings: Settings): Promise<Exchange> {
  const url = parseHttpUrl(request.url)
  const trust = settings.trusts.for(request)
  const proxies = request.proxies ?? settings.proxies
  let hop: Hop = { url, headers: takeCallerHeaders(withoutAuthorities(request.headers), url), passed: [] }
  for (;;) {
    const exchange = await send(hop, own, { settings, trust, proxies, signal: request.signal })
    if (!isRedirect(exchange.head.status)) return exchange
    exchange.connection.destroy()
    const next = followRedirect(hop, exchange.head)
    settings.log?.debug(
      { from: hop.url.authority, to: next.url.authority, status: exchange.head.status },
      'origin redirects',
    )
    hop = next
  }
}

async function send(
  hop: Hop,
  own: CallerHeaders,
  context: {
    settings: Settings
    trust: Trust
    proxies: ProxySettings | null | undefined
    signal: AbortSignal
  },
): Promise<Exchange> {
  const { settings, trust, signal } = context
  // Chosen anew for each hop, with nothing said to a proxy that was meant for another.
  const proxy = proxyFor(context.proxies, hop.url)
  const host = hop.url.authority
  if (signal.aborted) throw cancelled(signal.reason)
  const target = targetOf(hop.url, trust, proxy)
  const connection = await Http1Connection.connect(target, { ...settings, signal }).catch(thrown => {
    throw translateFailure(thrown, host, { stage: 'connect', signal })
  })
  const onAbort = () => connection.destroy()
  signal.addEventListener('abort', onAbort)
  try {
    if (signal.aborted) throw cancelled(signal.reason)
    const relay = hop.url.isSecure ? null : proxy
    const { userAgent } = settings
    connection.send(formatRequest(hop.url, { caller: hop.headers, own, userAgent, relay }))
    const head = await connection.readHead('GET')
    if (signal.aborted) throw cancelled(signal.reason)
    return { connection, head, host, signal }
  } catch (thrown) {
    connection.destroy()
    throw translateFailure(thrown, host, { stage: 'head', signal })
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** RFC 9110, section 13.1: an entity tag compares weakly here, so a weak one will do. */
function revalidationHeaders(validator: Validator | null): CallerHeaders {
  const { etag, lastModified } = validator ?? NO_VALIDATOR
  const headers: [string, string][] = []
  if (etag && isFieldValue(etag)) headers.push(['if-none-match', etag])
  if (lastModified && isFieldValue(lastModified)) headers.push(['if-modified-since', lastModified])
  return headers
}

type Asked = { readonly request: OriginRequest; readonly plan: RangePlan; readonly isConditional: boolean }

function readAnswer(exchange: Exchange, asked: Asked): OriginAnswer {
  const { head } = exchange
  if (head.status === 200) return readWhole(exchange, asked)
  if (head.status === 206) return readPart(exchange, asked)
  if (head.status === 304 && asked.isConditional) return readUnchanged(exchange, asked)
  const isEmpty =
    head.status === 416 && asked.plan.part === null && asked.plan.startByte === 0 && saysEmpty(head)
  if (isEmpty) return readEmpty(exchange)
  throw statusFailure(head, exchange.host, asked.plan.startByte > 0)
}

function readWhole(exchange: Exchange, { plan }: Asked): OriginAnswer {
  const { head, host } = exchange
  if (plan.part !== null) {
    if (plan.ifRange !== null) throw new DragonflyError('ORIGIN_CHANGED', `${host}: the content changed`)
    throw new DragonflyError('ORIGIN_REFUSED', `${host}: the origin does not serve ranges`)
  }
  return {
    kind: 'content',
    startByte: 0,
    lengthBytes: contentLengthOf(head),
    validator: validatorOf(head),
    contentType: head.headers.get('content-type') ?? null,
    body: new HttpBody({ ...exchange, bodyBytes: null }),
  }
}

function readPart(exchange: Exchange, { request, plan }: Asked): OriginAnswer {
  const { head, host } = exchange
  const { lengthBytes, bodyBytes } = readPartialContent(head, plan, host)
  const before = plan.ifRange === null ? NO_VALIDATOR : (request.validator ?? NO_VALIDATOR)
  const validator = validatorOf(head)
  // There are origins that do not know If-Range and send a range of whatever they have now.
  if (contradicts(before, validator))
    throw new DragonflyError('ORIGIN_CHANGED', `${host}: the content changed`)
  return {
    kind: 'content',
    startByte: plan.startByte,
    lengthBytes,
    // An answer to If-Range need not repeat what the asker knows (RFC 9110, section 15.3.7).
    validator: {
      etag: validator.etag ?? before.etag,
      lastModified: validator.lastModified ?? before.lastModified,
    },
    contentType: head.headers.get('content-type') ?? null,
    body: new HttpBody({ ...exchange, bodyBytes }),
  }
}

function readUnchanged(exchange: Exchange, { request }: Asked): OriginAnswer {
  const { head } = exchange
  exchange.connection.destroy()
  const before = request.validator ?? NO_VALIDATOR
  const validator = validatorOf(head)
  return {
    kind: 'unchanged',
    startByte: 0,
    lengthBytes: null,
    validator: {
      etag: validator.etag ?? before.etag,
      lastModified: validator.lastModified ?? before.lastModified,
    },
    contentType: head.headers.get('content-type') ?? null,
    body: EMPTY_BODY,
  }
}

/** A range of empty content cannot be satisfied, so an origin answers 416 where it would have said 200 without one. */
function readEmpty(exchange: Exchange): OriginAnswer {
  const { head } = exchange
  exchange.connection.destroy()
  return {
    kind: 'content',
    startByte: 0,
    lengthBytes: 0,
    validator: validatorOf(head),
    contentType: null,
    body: EMPTY_BODY,
  }
}

function validatorOf(head: ResponseHead): Validator {
  return { etag: head.headers.get('etag') || null, lastModified: head.headers.get('last-modified') || null }
}

/** The tag decides where both have one; the date only stands in for it. */
function contradicts(before: Validator, now: Validator): boolean {
  if (before.etag !== null && now.etag !== null) return before.etag !== now.etag
  if (before.lastModified !== null && now.lastModified !== null)
    return before.lastModified !== now.lastModified
  return false
}
