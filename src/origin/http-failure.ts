import { DragonflyError, type ErrorCode, toDragonflyError } from '../core/error.ts'
import { TransportError, type TransportFailure } from '../net/transport-error.ts'
import type { ResponseHead } from '../wire/http1.ts'

/** What statuses and broken connections mean for a download. Messages name host and status only: paths and queries may be signed. */

type Stage = 'connect' | 'head' | 'body'

/** The failure that an answer without content is. `isResume`: a range that did not start at the content's first byte was asked for. */
export function statusFailure(head: ResponseHead, host: string, isResume: boolean): DragonflyError {
  const { status } = head
  const said = `${host} answered ${status}`
  if (status === 416 && isResume) {
    return new DragonflyError('ORIGIN_CHANGED', `${said}: the content is shorter than before`)
  }
  const retryAfter = head.headers.get('retry-after') ?? ''
  const wait = /^[\w ,:+-]{1,40}$/.test(retryAfter) ? ` (Retry-After: ${retryAfter})` : ''
  return new DragonflyError(codeOfStatus(status), said + wait)
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 401 || status === 403 || status === 407) return 'ORIGIN_UNAUTHORIZED'
  if (status === 404 || status === 410) return 'ORIGIN_NOT_FOUND'
  if (status === 408 || status === 429 || status >= 500) return 'ORIGIN_ERROR'
  return 'ORIGIN_REFUSED'
}

/** Translates whatever a connection threw. A wish to cancel explains any failure that comes after it. */
export function translateFailure(
  thrown: unknown,
  host: string,
  at: { stage: Stage; signal: AbortSignal },
): DragonflyError {
  if (at.signal.aborted) return cancelled(thrown)
  if (!(thrown instanceof TransportError)) return toDragonflyError(thrown)
  const code = TRANSPORT_CODES[at.stage][thrown.failure]
  return new DragonflyError(code, `${host}: ${thrown.message}`, { cause: thrown })
}

export function cancelled(cause?: unknown): DragonflyError {
  return new DragonflyError('CANCELLED', 'the request to the origin was cancelled', { cause })
}

const TRANSPORT_CODES: Record<Stage, Record<TransportFailure, ErrorCode>> = {
  connect: {
    unreachable: 'ORIGIN_UNREACHABLE',
    refused: 'ORIGIN_REFUSED',
    timeout: 'ORIGIN_UNREACHABLE',
    closed: 'ORIGIN_UNREACHABLE',
    protocol: 'ORIGIN_PROTOCOL',
    tls: 'ORIGIN_TLS',
  },
  head: {
    unreachable: 'ORIGIN_UNREACHABLE',
    refused: 'ORIGIN_REFUSED',
    timeout: 'ORIGIN_STALLED',
    // Nothing was announced yet, so nothing is truncated: the server or a balancer before it went away.
    closed: 'ORIGIN_UNREACHABLE',
    protocol: 'ORIGIN_PROTOCOL',
    tls: 'ORIGIN_TLS',
  },
  body: {
    unreachable: 'ORIGIN_TRUNCATED',
    refused: 'ORIGIN_REFUSED',
    timeout: 'ORIGIN_STALLED',
    closed: 'ORIGIN_TRUNCATED',
    protocol: 'ORIGIN_PROTOCOL',
    tls: 'ORIGIN_TLS',
  },
}
