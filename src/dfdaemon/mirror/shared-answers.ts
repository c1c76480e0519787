import type { IncomingMessage, ServerResponse } from 'node:http'
import { orAborted } from '../../core/clock.ts'
import { sendRefusal } from '../upstream/error-answer.ts'
import { fieldValue } from '../upstream/fields.ts'
import { discard } from '../upstream/follow.ts'
import { beginAnswer, type Exchange, fieldsToSend, passThrough } from '../upstream/pass-through.ts'
import type { Upstream, UpstreamAnswer, UpstreamRequest } from '../upstream/upstream.ts'
import { upstreamFailure } from '../upstream/upstream-failure.ts'
import { whileWanted } from '../upstream/while-wanted.ts'

/** Larger ones are not what many ask for at once, and go through for each who asks. */
const BODY_BYTES_MAX = 4 * 1024 * 1024
const AT_ONCE_MAX = 16
const WAITING_MAX = 1024
const RETRY_AFTER_SECONDS = '1'

/** Whether many ask this at once, and the answer is small: manifests, and tokens (distribution's "Token Authentication Specification"). */
export function isSharedQuestion(request: Pick<IncomingMessage, 'method' | 'headers'>, url: URL): boolean {
  const { method, headers } = request
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  if ((method !== 'GET' && method !== 'HEAD') || hasBody) return false
  if (url.pathname.includes('/v2/')) return /\/v2\/.+\/manifests\/[^/]+$/.test(url.pathname)
  return url.searchParams.has('service') || url.searchParams.has('scope')
}

/** `large`: each gets an answer of their own. */
type Shared =
  | { readonly kind: 'answer'; readonly head: Omit<UpstreamAnswer, 'body'>; readonly body: Buffer }
  | { readonly kind: 'large' }

type Question = { readonly answer: Promise<Shared>; readonly ending: AbortController; askers: number }

/** Questions that are put in the very same words at the same time are one question to the upstream, and of the others few run at a time. */
export class SharedAnswers {
  readonly #upstream: Upstream
  readonly #questions = new Map<string, Question>()
  readonly #lines = new Map<string, Line>()

  constructor(upstream: Upstream) {
    this.#upstream = upstream
  }

  /** For what `isSharedQuestion` says. Like `passThrough` otherwise. */
  answer(exchange: Exchange): Promise<void> {
    return whileWanted(exchange.response, gone => this.#answer(exchange, gone))
  }

  async #answer(exchange: Exchange, gone: AbortSignal): Promise<void> {
    const { request, response, url, trust } = exchange
    const fields = fieldsToSend(exchange)
    const asked = { method: request.method!, url, fields, trust }
    const question = this.#join(JSON.stringify([asked.method, url.href, trust, fields]), asked)
    if (question === null) return refuse(response)
    try {
      const shared = await orAborted(question.answer, gone)
      if (shared.kind === 'large') return await passThrough(this.#upstream, exchange)
      beginAnswer(response, shared.head)
      response.end(shared.body)
    } finally {
      if (--question.askers === 0) question.ending.abort()
    }
  }

  /** Null where too many wait. */
  #join(words: string, asked: Omit<UpstreamRequest, 'body' | 'signal'>): Question | null {
    const known = this.#questions.get(words)
    if (known && !known.ending.signal.aborted) {
      known.askers++
      return known
    }
    const { host } = asked.url
    const line = this.#lines.get(host) ?? new Line()
    if (line.isFull) return null
    this.#lines.set(host, line)
    const ending = new AbortController()
    const answer = line
      .take(ending.signal)
      .then(() => this.#ask({ ...asked, body: null, signal: ending.signal }).finally(() => line.leave()))
      .finally(() => {
        if (this.#questions.get(words) === question) this.#questions.delete(words)
        if (line.isEmpty) this.#lines.delete(host)
      })
    answer.catch(() => {})
    const question: Question = { answer, ending, askers: 1 }
    this.#questions.set(words, question)
    return question
  }

  async #ask(request: UpstreamRequest): Promise<Shared> {
    const { body, ...head } = await this.#upstream.send(request)
    const length = fieldValue(head.fields, 'content-length')
    if (request.method !== 'HEAD' && Number(length ?? 0) > BODY_BYTES_MAX) {
      discard({ ...head, body })
      return { kind: 'large' }
    }
    const parts: Buffer[] = []
    let bytes = 0
    try {
      for await (const part of body as AsyncIterable<Buffer>) {
        bytes += part.length
        if (bytes > BODY_BYTES_MAX) return { kind: 'large' }
        parts.push(part)
      }
    } catch (thrown) {
      throw upstreamFailure(thrown, request.url, { stage: 'body', signal: request.signal })
    }
    return { kind: 'answer', head, body: Buffer.concat(parts) }
  }
}

function refuse(response: ServerResponse): void {
  response.setHeader('retry-after', RETRY_AFTER_SECONDS)
  sendRefusal(response, 503, {
    code: 'TOOMANYREQUESTS',
    message: 'too many questions for this registry wait already',
  })
}

/** So many run, the others wait in the order in which they came. */
class Line {
  #running = 0
  readonly #waiting = new Set<() => void>()

  get isFull(): boolean {
    return this.#waiting.size >= WAITING_MAX
  }

  get isEmpty(): boolean {
    return this.#running === 0
  }

  /** @throws the signal's reason */
  take(signal: AbortSignal): Promise<void> {
    if (this.#running < AT_ONCE_MAX) {
      this.#running++
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(go)
        reject(signal.reason)
      }
      const go = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      signal.addEventListener('abort', onAbort)
      this.#waiting.add(go)
    })
  }

  /** Hands its place to the next. */
  leave(): void {
    const [next] = this.#waiting
    this.#waiting.delete(next)
    if (next) next()
    else this.#running--
  }
}
