import { createHash } from 'node:crypto'
import type { Digest } from '../../core/digest.ts'
import { type DragonflyError, toDragonflyError } from '../../core/error.ts'
import { filterUrl, redactUrl } from '../../core/filter-url.ts'
import { generationOf, hasValidator } from '../../core/generation.ts'
import { blockBytesBeside } from '../../net/block-bytes.ts'
import type { DaemonMetrics } from '../metrics.ts'
import type { ContentOrder, DfdaemonOptions } from '../options.ts'
import { endToEnd, type Fields, VIA, without } from '../upstream/fields.ts'
import { type Exchange, passThrough, REGISTRY_FIELD } from '../upstream/pass-through.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { whileWanted } from '../upstream/while-wanted.ts'
import { Access, type AccessQuestion, type ContentHead } from './access.ts'
import { askedPart } from './content-range.ts'
import { Delivery } from './delivery.ts'
import { Readings } from './readings.ts'
import { deliverFromSwarm, LONG_PATIENCE, USUAL_PATIENCE } from './swarm-source.ts'
import { goOnFromUpstream, repairFromUpstream, type UpstreamContent } from './upstream-source.ts'

export type WantedContent = {
  /** What the content must be, or null where the URL alone names it. */
  readonly digest: Digest | null
  /** Of the file at the peer. */
  readonly name: string
}

type ContentServerOptions = Pick<
  DfdaemonOptions,
  'fetcher' | 'accessMemoryMs' | 'clock' | 'random' | 'log'
> & {
  readonly upstream: Upstream
  readonly metrics: DaemonMetrics
}

/** So many pieces are wanted in order. */
const LOOK_AHEAD_PIECES = 16

/** So many at once may use large blocks, two each. */
const FEW_DELIVERIES = 16

/** One GET that was let in. */
type Passage = {
  readonly wanted: WantedContent
  readonly question: AccessQuestion
  readonly head: ContentHead
  readonly delivery: Delivery
  readonly signal: AbortSignal
}

/** GET and HEAD of content that goes through the swarm: the upstream decides who may read it, and helps out where the swarm fails. */
export class ContentServer {
  readonly #options: ContentServerOptions
  readonly #access: Access
  readonly #readings: Readings
  /** That read from the swarm now. */
  #deliveries = 0

  constructor(options: ContentServerOptions) {
    this.#options = options
    this.#access = new Access({ ...options, memoryMs: options.accessMemoryMs })
    this.#readings = new Readings(options)
  }

  /** Resolves when the exchange is over, however it ended. */
  answer(wanted: WantedContent, exchange: Exchange): Promise<void> {
    return whileWanted(exchange.response, gone => this.#answer(wanted, exchange, gone))
  }

  async #answer(wanted: WantedContent, exchange: Exchange, signal: AbortSignal): Promise<void> {
    const { request, response, url, trust } = exchange
    const fields = endToEnd(exchange.fields)
    const question = { url, trust, fields: without(fields, NOT_ASKED) }
    const isConditional = fields.some(([name]) => CONDITIONS.has(name.toLowerCase()))
    const head = isConditional ? null : await this.#access.decide(question, signal)
    if (head === null) return passThrough(this.#options.upstream, exchange)
    const { lengthBytes } = head
    const part = request.method === 'GET' ? askedPart(fields, head) : ({ kind: 'whole' } as const)
    if (part.kind === 'unsatisfiable') {
      response.writeHead(416, { 'content-range': `bytes */${lengthBytes}`, 'content-length': 0 }).end()
      return
    }
    const { start, end } = part.kind === 'whole' ? { start: 0, end: lengthBytes } : part
    const shown: Fields = [
      ...head.fields,
      VIA,
      ['Accept-Ranges', 'bytes'],
      ['Content-Length', `${end - start}`],
      ...(part.kind === 'part'
        ? [['Content-Range', `bytes ${start}-${end - 1}/${lengthBytes}`] as const]
        : []),
    ]
    const status = part.kind === 'whole' ? 200 : 206
    if (request.method === 'HEAD') {
      response.writeHead(status, shown.flat()).end()
      return
    }
    const delivery = new Delivery(response, { status, fields: shown, start, end }, signal)
    await this.#deliver({ wanted, question, head, delivery, signal })
  }

  async #deliver(passage: Passage): Promise<void> {
    const { question, delivery } = passage
    const { log, metrics } = this.#options
    const facts = { url: redactUrl(question.url.href), start: delivery.start, end: delivery.end }
    try {
      await this.#fromSwarm(passage)
    } catch (thrown) {
      if (delivery.isGone) throw thrown
      const failure = toDragonflyError(thrown)
      const isMismatch = failure.code === 'DIGEST_MISMATCH' || failure.code === 'ORIGIN_CHANGED'
      metrics.fallback(isMismatch ? 'mismatch' : reasonOf(failure))
      log.warn(
        { ...facts, position: delivery.position, code: failure.code, cause: failure.message },
        'the upstream is read instead',
      )
      await this.#fromUpstream(passage, isMismatch && delivery.position > delivery.start)
    }
    await delivery.finish()
    log.info(facts, 'content served')
  }

  async #fromSwarm(passage: Passage): Promise<void> {
    const { wanted, head, delivery, signal } = passage
    const { clock, fetcher, metrics } = this.#options
    const patience = fetcher.isSilent ? LONG_PATIENCE : USUAL_PATIENCE
    if (delivery.isComplete) return
    const order = orderOf(passage)
    const { reading, leave } = this.#readings.join(this.#contentNameOf(passage), order)
    const { position } = delivery
    const blockBytes = blockBytesBeside(this.#deliveries, FEW_DELIVERIES)
    this.#deliveries++
    try {
      const generation = wanted.digest === null ? generationOfHead(head) : null
      const content = { reading, lengthBytes: head.lengthBytes, generation }
      await deliverFromSwarm(delivery, content, { patience, clock, signal, blockBytes })
    } finally {
      this.#deliveries--
      leave()
      metrics.served('swarm', delivery.position - position)
    }
  }

  async #fromUpstream(passage: Passage, isRepair: boolean): Promise<void> {
    const { delivery, question, head, wanted, signal } = passage
    const { upstream, clock, random, metrics } = this.#options
    const content: UpstreamContent = {
      upstream,
      question,
      head,
      digest: wanted.digest,
      clock,
      random,
      signal,
    }
    const { position } = delivery
    try {
      await (isRepair ? repairFromUpstream : goOnFromUpstream)(delivery, content)
    } finally {
      metrics.served('upstream', delivery.position - position)
    }
  }

  /**
   * What answers have in common that may be read from one file: the digest; else URL and version; else, where the upstream names no
   * version, only what the very same caller asks for.
   */
  #contentNameOf({ wanted, question, head }: Passage): string {
    const { digest } = wanted
    const { url, trust } = question
    if (digest !== null) return digest
    const generation = generationOfHead(head) ?? this.#access.nameOf(question)
    return JSON.stringify([filterUrl(url.href).url, trust, generation, head.lengthBytes])
  }
}

function orderOf({ wanted, question, delivery }: Passage): ContentOrder {
  const { digest, name } = wanted
  const { url, trust } = question
  return {
    url: url.href,
    headers: without(question.fields, NOT_FOR_ORIGIN).map(([field, value]) => [field, value]),
    name,
    digest,
    authorities: trust.authorities,
    isInsecure: trust.isInsecure,
    lookAhead: LOOK_AHEAD_PIECES,
    readFrom: delivery.position,
  }
}

/** As the swarm derives it from what the origin says; null where that names no version. */
function generationOfHead({ etag, lastModified, lengthBytes }: ContentHead): string | null {
  const validator = { etag, lastModified }
  if (!hasValidator(validator)) return null
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
  return generationOf({ validator, lengthBytes, nonce: '' }, sha256)
}

function reasonOf({ code }: DragonflyError): 'silent' | 'failed' {
  return code === 'DOWNLOAD_STALLED' ? 'silent' : 'failed'
}

const CONDITIONS = new Set(['if-match', 'if-modified-since', 'if-none-match', 'if-unmodified-since'])

/** Which part, under which condition and in which coding is ours to say; of a body, there is none. */
const NOT_ASKED = new Set([
  ...CONDITIONS,
  'accept-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'if-range',
  'range',
  REGISTRY_FIELD,
])

/** What says nothing about who asks. Content that is asked for without a secret is nobody's in particular, and shared without a question. */
const NOT_FOR_ORIGIN = new Set([
  'accept',
  'accept-language',
  'cache-control',
  'docker-distribution-api-version',
  'forwarded',
  'pragma',
  'referer',
  'traceparent',
  'tracestate',
  'user-agent',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-meta-source-client',
  'x-request-id',
])
