/** Why a connection failed, before its user says what that means: an origin's failure and a source's have different codes. */
export type TransportFailure = 'unreachable' | 'timeout' | 'closed' | 'protocol' | 'tls'

export class TransportError extends Error {
  readonly failure: TransportFailure

  constructor(failure: TransportFailure, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'TransportError'
    this.failure = failure
  }
}
