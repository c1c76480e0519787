import type { Clock } from '../core/clock.ts'
import { TokenBucket } from '../core/token-bucket.ts'

type Taker = { bytes: number; resolve: () => void }

/** A rate shared by many who send or receive: they are served in the order in which they asked. */
export class RateLimiter {
  readonly #clock: Clock
  #bucket: TokenBucket
  /** The first one's bytes are taken already; it waits until that debt is paid. */
  readonly #takers: Taker[] = []
  #paidAtMs = 0
  #cancelTimer: (() => void) | null = null

  /** @param rateBytesPerSecond more than 0 */
  constructor(rateBytesPerSecond: number, clock: Clock) {
    this.#clock = clock
    this.#bucket = new TokenBucket(rateBytesPerSecond, clock.now())
  }

  get rateBytesPerSecond(): number {
    return this.#bucket.rateBytesPerSecond
  }

  /** What is owed by the one in front is paid at the new rate. */
  set rateBytesPerSecond(rateBytesPerSecond: number) {
    const now = this.#clock.now()
    const owedMs = Math.max(0, this.#paidAtMs - now)
    const owedBytes = (owedMs / 1000) * this.#bucket.rateBytesPerSecond
    this.#bucket = new TokenBucket(rateBytesPerSecond, now)
    if (this.#takers.length === 0) return
    this.#cancelTimer?.()
    this.#wait(this.#bucket.take(owedBytes, now))
  }

  /** Bytes worth one turn: small enough that a low rate flows evenly, never more than `maxBytes`. */
  sliceBytes(maxBytes: number): number {
    return Math.min(maxBytes, Math.max(SLICE_BYTES_MIN, Math.floor(this.rateBytesPerSecond * SLICE_SECONDS)))
  }

  /**
   * Takes `bytes` of the rate. Returns nothing where there is no wait, so that an unshaped path costs no promise turn. An aborted wait
   * rejects with the signal's reason.
   */
  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined {
    signal?.throwIfAborted()
    if (this.#takers.length === 0) {
      const waitMs = this.#bucket.take(bytes, this.#clock.now())
      if (waitMs === 0) return undefined
      this.#wait(waitMs)
    }
    return this.#enqueue(bytes, signal)
  }

  #enqueue(bytes: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#leave(taker)
        reject(signal?.reason)
      }
      const taker: Taker = {
        bytes,
        resolve: () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      this.#takers.push(taker)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Bytes taken by the one in front stay taken: they are the debt on which the others' turns are built. */
  #leave(taker: Taker): void {
    const position = this.#takers.indexOf(taker)
    if (position > 0) this.#takers.splice(position, 1)
    else taker.resolve = () => {}
  }

  #wait(waitMs: number): void {
    this.#paidAtMs = this.#clock.now() + waitMs
    this.#cancelTimer = this.#clock.schedule(waitMs, () => this.#serve())
  }

  #serve(): void {
    this.#takers.shift()?.resolve()
    while (this.#takers.length > 0) {
      const waitMs = this.#bucket.take(this.#takers[0].bytes, this.#clock.now())
      if (waitMs > 0) return this.#wait(waitMs)
      this.#takers.shift()?.resolve()
    }
  }
}

const SLICE_SECONDS = 0.05
const SLICE_BYTES_MIN = 16 * 1024
