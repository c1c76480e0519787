import { DragonflyError } from '../core/error.ts'
import type { Http1Connection } from '../net/http1-connection.ts'
import { cancelled, translateFailure } from './http-failure.ts'
import type { OriginBody } from './origin.ts'

type HttpBodyOptions = {
  readonly connection: Http1Connection
  /** For messages. */
  readonly host: string
  readonly signal: AbortSignal
  /** How many bytes must come, where the answer says it otherwise than by its framing. */
  readonly bodyBytes: number | null
}

/** The body of one answer. Owns the connection: it is destroyed at the end, at a failure, at `close` and when the signal fires. */
export class HttpBody implements OriginBody {
  readonly #connection: Http1Connection
  readonly #host: string
  readonly #signal: AbortSignal
  readonly #bodyBytes: number | null
  readonly #onAbort = () => this.#end(cancelled(this.#signal.reason))
  #receivedBytes = 0
  /** `complete`, or why there is nothing more. */
  #ending: 'complete' | DragonflyError | null = null

  constructor(options: HttpBodyOptions) {
    this.#connection = options.connection
    this.#host = options.host
    this.#signal = options.signal
    this.#bodyBytes = options.bodyBytes
    this.#signal.addEventListener('abort', this.#onAbort)
    if (this.#signal.aborted) this.#onAbort()
  }

  async read(into: Uint8Array, onBytes?: (bytes: Uint8Array) => void): Promise<number> {
    if (this.#ending === null) {
      const count = await this.#pull(into, onBytes)
      if (!this.#hasEnded()) return count
    }
    if (this.#ending === 'complete') return 0
    throw this.#ending
  }

  close(): void {
    this.#end(cancelled())
  }

  async #pull(into: Uint8Array, onBytes?: (bytes: Uint8Array) => void): Promise<number> {
    try {
      const count = await this.#connection.readBody(into, onBytes)
      this.#receivedBytes += count
      const missingBytes = this.#bodyBytes === null ? 0 : this.#bodyBytes - this.#receivedBytes
      if (missingBytes < 0)
        throw new DragonflyError('ORIGIN_PROTOCOL', `${this.#host} sent more than it announced`)
      if (count === 0 && missingBytes > 0) {
        throw new DragonflyError('ORIGIN_TRUNCATED', `${this.#host} ended before the announced length`)
      }
      if (count === 0) this.#end('complete')
      return count
    } catch (thrown) {
      this.#end(translateFailure(thrown, this.#host, { stage: 'body', signal: this.#signal }))
      return 0
    }
  }

  #hasEnded(): boolean {
    return this.#ending !== null
  }

  /** The first reason stands. A body without announced length looks complete when its connection is destroyed, so order matters. */
  #end(ending: 'complete' | DragonflyError): void {
    if (this.#ending !== null) return
    this.#ending = ending
    this.#signal.removeEventListener('abort', this.#onAbort)
    this.#connection.destroy()
  }
}

/** The body of an answer that has none. */
export const EMPTY_BODY: OriginBody = { read: async () => 0, close: () => {} }
