import type { ServerResponse } from 'node:http'
import { assert } from '../../core/assert.ts'
import type { Fields } from '../upstream/fields.ts'
import { ByteTag } from './byte-tag.ts'

type Answer = {
  readonly status: number
  readonly fields: Fields
  /** In the content; `end` is exclusive. */
  readonly start: number
  readonly end: number
}

/** The bytes of one answer, in order, whoever they come from. The head goes out with the first of them. */
export class Delivery {
  readonly start: number
  readonly end: number
  readonly #answer: Answer
  readonly #response: ServerResponse
  readonly #signal: AbortSignal
  #position: number
  #writtenEnd: number
  readonly #tag = new ByteTag()
  #isGone = false

  /** `signal` is aborted when the client goes away. */
  constructor(response: ServerResponse, answer: Answer, signal: AbortSignal) {
    this.start = answer.start
    this.end = answer.end
    this.#answer = answer
    this.#response = response
    this.#signal = signal
    this.#position = answer.start
    this.#writtenEnd = answer.start
  }

  /** The next byte of the content that the client gets. */
  get position(): number {
    return this.#position
  }

  /** What was written, and the tag of it, to tell whether another source has the same. Nothing is written once that was compared. */
  get written(): { readonly start: number; readonly end: number; readonly tag: ByteTag } {
    return { start: this.start, end: this.#writtenEnd, tag: this.#tag }
  }

  /** Whether the client takes no more. */
  get isGone(): boolean {
    return this.#isGone || this.#signal.aborted
  }

  get isComplete(): boolean {
    return this.#position === this.end
  }

  /**
   * Resolves when `bytes` may be used again, which is when the client takes more.
   * @throws where the client has gone away
   */
  write(bytes: Uint8Array): Promise<void> {
    this.#tag.add(bytes)
    this.#count(bytes)
    this.#writtenEnd = this.#position
    return this.#untilDone(done => this.#response.write(bytes, done))
  }

  /**
   * For bytes that nobody uses again, and which follow what was written. Resolves when the client takes more.
   * @throws where the client has gone away
   */
  async give(bytes: Uint8Array): Promise<void> {
    this.#count(bytes)
    if (!this.#response.write(bytes)) await this.#untilDone(done => this.#response.once('drain', done))
  }

  /** Resolves when the whole answer has left. */
  finish(): Promise<void> {
    assert(this.isComplete, 'an answer ends where it says')
    this.#begin()
    return this.#untilDone(done => this.#response.end(() => done()))
  }

  #begin(): void {
    if (this.#response.headersSent) return
    const { status, fields } = this.#answer
    this.#response.writeHead(status, fields.flat())
  }

  #count({ length }: Uint8Array): void {
    assert(this.#position + length <= this.end, 'an answer has no more bytes than it says')
    this.#begin()
    this.#position += length
  }

  /** A client that goes away may leave what is not written yet without a word. */
  #untilDone(act: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(this.#signal.reason)
      if (this.#signal.aborted) return onAbort()
      this.#signal.addEventListener('abort', onAbort)
      act(error => {
        this.#signal.removeEventListener('abort', onAbort)
        if (error) {
          this.#isGone = true
          reject(error)
        } else resolve()
      })
    })
  }
}
