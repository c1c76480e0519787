import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import type { Validator } from '../core/generation.ts'
import type { Http1Timeouts } from '../net/http1-connection.ts'
import type { ProxySettings } from '../net/proxy.ts'
import { createHttpOrigin } from './http-origin.ts'

/**
 * Back-to-source: the bytes of a task as its origin gives them, by scheme of the URL. Failures are `DragonflyError`s with an ORIGIN_
 * code, USAGE for a request that must not be sent, or CANCELLED.
 */
export type Origin = {
  /** Resolves when the origin has answered; the body is then pulled. Whoever gets an answer closes its body. */
  open(request: OriginRequest): Promise<OriginAnswer>
  /**
   * Does the origin let this caller in, and to what? A GET of one byte whose body is not read. A page that says "please log in" with
   * status 200 lets in too: only the answer's validator tells it from the content.
   */
  probe(request: ProbeRequest): Promise<ProbeAnswer>
}

export type OriginRequest = {
  readonly url: string
  /** The caller's own. A `Range` among them makes that part the task's content: offsets and length then count from its start. */
  readonly headers: OriginHeaders
  /** Through whom to ask; without them as the origin's options say. */
  readonly proxies?: ProxySettings | null
  /** First byte wanted. Honoured only where `validator` can prove that the content is the same; see `OriginAnswer.startByte`. */
  readonly startByte: number
  /** Exclusive; null is to the end. An origin that ignores ranges sends more than this. */
  readonly endByte: number | null
  /** Of the content held so far; compared by the origin (If-Range, or If-None-Match with `isRevalidation`). */
  readonly validator: Validator | null
  /** Asks for the content only if it is no longer what `validator` says. Needs `startByte` 0. */
  readonly isRevalidation: boolean
  /** Frees everything, in any state; the pending call rejects with CANCELLED. */
  readonly signal: AbortSignal
}

export type ProbeRequest = Pick<OriginRequest, 'url' | 'headers' | 'proxies' | 'signal'>

export type ProbeAnswer = {
  readonly validator: Validator
  /** Of the complete content, where the origin said it. */
  readonly lengthBytes: number | null
  /** The field as it came; see `nameOfDisposition`. */
  readonly contentDisposition?: string | null
}

export type OriginHeaders = readonly (readonly [name: string, value: string])[]

export type OriginAnswer = {
  /** `unchanged`: the content is still what the request's validator says; there is no body. */
  readonly kind: 'content' | 'unchanged'
  /** Where the body starts: the request's `startByte`, or 0 where the origin or a missing validator allowed nothing else. */
  readonly startByte: number
  /** Of the complete content, where known. */
  readonly lengthBytes: number | null
  readonly validator: Validator
  readonly contentType: string | null
  readonly body: OriginBody
}

/** One reader at a time. */
export type OriginBody = {
  /**
   * Fills the front of `into` and returns how many bytes; 0 means that the body is complete. `onBytes` sees them all as they
   * come, while they are in the processor's cache; it must not throw. `into` belongs to the body until it is full, or the body is
   * complete, has failed or was closed.
   * @throws DragonflyError ORIGIN_STALLED, ORIGIN_TRUNCATED, ORIGIN_PROTOCOL or CANCELLED
   */
  read(into: Uint8Array, onBytes?: (bytes: Uint8Array) => void): Promise<number>
  /** Frees the connection; may be called more than once. A pending `read` rejects with CANCELLED. */
  close(): void
}

export type OriginOptions = {
  readonly clock: Clock
  readonly timeouts: Http1Timeouts
  readonly proxies?: ProxySettings | null
  /** Further CA certificates (PEM) to trust, beside those of the runtime and NODE_EXTRA_CA_CERTS. */
  readonly ca?: string
  /** Where the caller names none. */
  readonly userAgent?: string
  readonly log?: OriginLog
}

type OriginLog = { debug(facts: Record<string, unknown>, message: string): void }

/** Picks by scheme; an unknown one is a USAGE error. */
export function createOrigins(options: OriginOptions): Origin {
  const http = createHttpOrigin(options)
  const byScheme = new Map<string, Origin>([
    ['http', http],
    ['https', http],
  ])
  const pick = (url: string): Origin => {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1].toLowerCase()
    const origin = scheme === undefined ? undefined : byScheme.get(scheme)
    if (origin) return origin
    const known = [...byScheme.keys()].join(', ')
    const problem = scheme === undefined ? 'the URL has no scheme' : `there is no origin for "${scheme}" URLs`
    throw new DragonflyError('USAGE', `${problem}; known are ${known}`)
  }
  return {
    open: async request => pick(request.url).open(request),
    probe: async request => pick(request.url).probe(request),
  }
}
