import type { DragonflyError } from '../../core/error.ts'
import { TransportError, type TransportFailure, toTransportError } from '../../net/transport-error.ts'
import { translateFailure } from '../../origin/http-failure.ts'

/** What a failed request to an upstream means. Paths and queries may be signed, so only the host is named. */
export function upstreamFailure(
  thrown: unknown,
  url: URL,
  at: { stage: 'head' | 'body'; signal: AbortSignal },
): DragonflyError {
  return translateFailure(transportErrorOf(thrown), url.host, at)
}

/** undici's own codes, and those of its parser, which begin with `HPE_`. */
const FAILURES: Readonly<Record<string, TransportFailure>> = {
  UND_ERR_CONNECT_TIMEOUT: 'unreachable',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_SOCKET: 'closed',
  UND_ERR_HEADERS_OVERFLOW: 'protocol',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'closed',
}

function transportErrorOf(thrown: unknown): unknown {
  const { code } = thrown as { code?: unknown }
  if (thrown instanceof TransportError || !(thrown instanceof Error) || typeof code !== 'string')
    return thrown
  const failure = FAILURES[code] ?? (code.startsWith('HPE_') ? 'protocol' : null)
  if (failure !== null) return new TransportError(failure, thrown.message, { cause: thrown })
  return code.startsWith('UND_ERR_') || thrown.name === 'DragonflyError' ? thrown : toTransportError(thrown)
}
