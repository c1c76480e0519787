import { toDragonflyError } from '../core/error.ts'

/** Why a connection failed, before its user says what that means: an origin's failure and a source's have different codes. */
export type TransportFailure = 'unreachable' | 'refused' | 'timeout' | 'closed' | 'protocol' | 'tls'

export class TransportError extends Error {
  readonly failure: TransportFailure

  constructor(failure: TransportFailure, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'TransportError'
    this.failure = failure
  }
}

/** What a socket's error means. */
export function toTransportError(error: NodeJS.ErrnoException): TransportError {
  const code = error.code ?? ''
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)|EPROTO/.test(code)) {
    return new TransportError('tls', `the TLS connection failed: ${code}`, { cause: error })
  }
  if (
    /^(ECONNREFUSED|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL|ERR_SOCKET_BAD_PORT)/.test(
      code,
    )
  ) {
    return new TransportError('unreachable', describe(code, error), { cause: error })
  }
  return new TransportError('closed', `the connection broke: ${code || error.message}`, { cause: error })
}

function describe(code: string, error: Error): string {
  if (code === 'ECONNREFUSED') return 'the connection was refused'
  if (code === 'ENOTFOUND' || code.startsWith('EAI_')) return 'the host name could not be resolved'
  return `no route: ${error.message}`
}

/** Runs what parses the other side's bytes. */
export function orProtocolError<T>(parse: () => T): T {
  try {
    return parse()
  } catch (thrown) {
    throw new TransportError('protocol', toDragonflyError(thrown).message, { cause: thrown })
  }
}
