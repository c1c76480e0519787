import { DragonflyError } from '../core/error.ts'
import type { HttpProxy } from '../net/proxy.ts'
import { isFieldName, isFieldValue } from '../wire/http-field.ts'
import type { HttpUrl } from './http-url.ts'
import type { OriginHeaders } from './origin.ts'

/** The head of a request to an origin: what the caller may say, what we say ourselves, and what may follow a redirect. */

/** Lower-case names, checked; nothing that belongs to the connection or that we say ourselves. */
export type CallerHeaders = OriginHeaders

/**
 * Checks the caller's headers and leaves out those that are ours: of the connection (RFC 9110, section 7.6.1), the target, the coding,
 * the range and the conditions.
 * @throws DragonflyError USAGE for what could not be sent as one field
 */
export function takeCallerHeaders(headers: OriginHeaders, url: HttpUrl): CallerHeaders {
  let totalBytes = 0
  for (const [name, value] of headers) {
    if (!isFieldName(name))
      throw new DragonflyError('USAGE', 'a header name holds a character that is not allowed')
    if (!isFieldValue(value)) {
      throw new DragonflyError('USAGE', `the value of header "${name}" holds a character that is not allowed`)
    }
    totalBytes += name.length + value.length + 4
  }
  if (totalBytes > CALLER_HEADERS_BYTES_MAX) throw new DragonflyError('USAGE', 'the headers are too long')
  const named = headers.map(([name, value]) => [name.toLowerCase(), value.trim()] as const)
  const listed = named
    .filter(([name]) => name === 'connection')
    .flatMap(([, value]) => value.toLowerCase().split(','))
  const dropped = new Set([...OWN_HEADERS, ...listed.map(name => name.trim())])
  const kept = named.filter(([name]) => !dropped.has(name))
  const hasAuthorization = kept.some(([name]) => name === 'authorization')
  if (url.basicAuthorization === null || hasAuthorization) return kept
  return [...kept, ['authorization', url.basicAuthorization]]
}

/**
 * What still goes along when a redirect leads to another scheme, host or port. An allow-list, because any other header may be a secret
 * (`Authorization`, `Cookie`, `X-Api-Key`, `PRIVATE-TOKEN`, …). What was dropped stays so, even if a later redirect leads back.
 */
export function keepAcrossOrigins(headers: CallerHeaders): CallerHeaders {
  return headers.filter(([name]) => CROSS_ORIGIN_HEADERS.has(name))
}

type RequestParts = {
  readonly caller: CallerHeaders
  /** The range and conditions, with checked values. */
  readonly own: CallerHeaders
  /** Where the caller names none. */
  readonly userAgent?: string
  /** The proxy that gets it in the origin's place: it is told the whole URL (RFC 9112, section 3.2.2) and its own credentials. */
  readonly relay?: HttpProxy | null
}

/** The bytes of a GET request, one character per octet. */
export function formatRequest(
  url: HttpUrl,
  { caller, own, userAgent = 'dragonfly', relay = null }: RequestParts,
): string {
  const hasUserAgent = caller.some(([name]) => name === 'user-agent')
  const hasAccept = caller.some(([name]) => name === 'accept')
  const fields = [
    ['host', url.authority],
    ...(hasUserAgent ? [] : [['user-agent', userAgent]]),
    ...(hasAccept ? [] : [['accept', '*/*']]),
    // The content as it is: a coding chosen on the way would change its length, its ranges and its digest.
    ['accept-encoding', 'identity'],
    ['connection', 'close'],
    ...(relay?.authorization ? [['proxy-authorization', relay.authorization]] : []),
    ...caller,
    ...own,
  ]
  const lines = fields.map(([name, value]) => `${spell(name)}: ${value}\r\n`)
  const target = relay === null ? url.pathAndQuery : `http://${url.authority}${url.pathAndQuery}`
  return `GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** `user-agent` → `User-Agent`: names have no case, but some origins are not told so. */
function spell(name: string): string {
  return name.replace(/(^|-)[a-z]/g, letter => letter.toUpperCase())
}

const CALLER_HEADERS_BYTES_MAX = 32 * 1024

const OWN_HEADERS = [
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

const CROSS_ORIGIN_HEADERS = new Set(['accept', 'accept-language', 'user-agent'])
