import type { Clock } from '../core/clock.ts'
import { type Limiter, RateLimiter } from './rate-limiter.ts'

/** What one task may receive: a rate of its own below the host's, of which it gets as much as every other task. */
export class TaskLimiter implements Limiter {
  readonly #host: RateLimiter
  readonly #own: RateLimiter
  readonly #clock: Clock
  #receivedBytes = 0
  #waiting = 0
  #heldMs = 0
  #heldSince = 0

  /** @param rateBytesPerSecond of the task alone; null is no limit but the host's */
  constructor(host: RateLimiter, rateBytesPerSecond: number | null, clock: Clock) {
    this.#host = host
    this.#own = new RateLimiter(rateBytesPerSecond, clock)
    this.#clock = clock
  }

  get rateBytesPerSecond(): number | null {
    return this.#own.rateBytesPerSecond
  }

  set rateBytesPerSecond(rateBytesPerSecond: number | null) {
    this.#own.rateBytesPerSecond = rateBytesPerSecond
  }

  /** All that went by so far. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** For how long somebody had bytes and was held back by a limit. */
  get heldMs(): number {
    return this.#heldMs + (this.#waiting > 0 ? this.#clock.now() - this.#heldSince : 0)
  }

  get isLimited(): boolean {
    return this.#own.isLimited || this.#host.isLimited
  }

  sliceBytes(maxBytes: number): number {
    return this.#own.sliceBytes(this.#host.sliceBytes(maxBytes))
  }

  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined {
    this.#receivedBytes += bytes
    const own = this.#own.take(bytes, signal)
    const turn = own
      ? own.then(() => this.#host.take(bytes, signal, this))
      : this.#host.take(bytes, signal, this)
    return turn && this.#held(turn)
  }

  async #held(turn: Promise<void>): Promise<void> {
    if (this.#waiting++ === 0) this.#heldSince = this.#clock.now()
    try {
      await turn
    } finally {
      if (--this.#waiting === 0) this.#heldMs += this.#clock.now() - this.#heldSince
    }
  }
}
