import type { Clock } from '../core/clock.ts'
import { FairQueue } from '../core/fair-queue.ts'
import { TokenBucket } from '../core/token-bucket.ts'

/** What whoever sends or receives asks for its share of a rate. */
export type Limiter = {
  readonly isLimited: boolean
  /** Bytes worth one turn: small enough that a low rate flows evenly, never more than `maxBytes`. */
  sliceBytes(maxBytes: number): number
  /**
   * Takes `bytes` of the rate. Returns nothing where there is no wait, so that an unshaped path costs no promise turn. An aborted wait
   * rejects with the signal's reason.
   */
  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined
}

type Taker = { readonly bytes: number; resolve: () => void }

/** A rate shared by many who send or receive: those of one line in the order in which they asked, the lines alike. */
export class RateLimiter implements Limiter {
  readonly #clock: Clock
  /** Null where there is no limit. */
  #bucket: TokenBucket | null = null
  readonly #takers = new FairQueue<Taker>()
  /** Whose bytes are taken already; it waits until that debt is paid. */
  #current: Taker | null = null
  #paidAtMs = 0
  #cancelTimer = () => {}

  /** @param rateBytesPerSecond more than 0; null is no limit */
  constructor(rateBytesPerSecond: number | null, clock: Clock) {
    this.#clock = clock
    this.rateBytesPerSecond = rateBytesPerSecond
  }

  get rateBytesPerSecond(): number | null {
    return this.#bucket?.rateBytesPerSecond ?? null
  }

  /** What is owed by the one in front is paid at the new rate. Saying the same rate again changes nothing. */
  set rateBytesPerSecond(rateBytesPerSecond: number | null) {
    if (rateBytesPerSecond === this.rateBytesPerSecond) return
    this.#cancelTimer()
    const now = this.#clock.now()
    if (rateBytesPerSecond === null) {
      this.#bucket = null
      this.#letAllGo()
      return
    }
    if (this.#bucket === null) this.#bucket = new TokenBucket(rateBytesPerSecond, now)
    else this.#bucket.setRate(rateBytesPerSecond, now)
    if (this.#current) this.#waitUntil(now + this.#bucket.take(0, now))
  }

  get isLimited(): boolean {
    return this.#bucket !== null
  }

  sliceBytes(maxBytes: number): number {
    const { rateBytesPerSecond } = this
    if (rateBytesPerSecond === null) return maxBytes
    return Math.min(maxBytes, Math.max(SLICE_BYTES_MIN, Math.floor(rateBytesPerSecond * SLICE_SECONDS)))
  }

  /** @param line whose turn it is, among those that share the rate */
  take(bytes: number, signal?: AbortSignal, line: object = this): Promise<void> | undefined {
    signal?.throwIfAborted()
    if (this.#bucket === null) return undefined
    if (this.#current) return this.#stand(bytes, signal, line)
    const now = this.#clock.now()
    const waitMs = this.#bucket.take(bytes, now)
    this.#takers.spend(line, bytes)
    if (waitMs === 0) return undefined
    const waited = this.#stand(bytes, signal, null)
    this.#waitUntil(now + waitMs)
    return waited
  }

  /** In a line, or in front of them all. */
  #stand(bytes: number, signal: AbortSignal | undefined, line: object | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        // Bytes taken by the one in front stay taken: they are the debt on which the others' turns are built.
        if (line === null || !this.#takers.remove(line, taker)) taker.resolve = () => {}
        reject(signal?.reason)
      }
      const taker: Taker = {
        bytes,
        resolve: () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      if (line === null) this.#current = taker
      else this.#takers.push(line, bytes, taker)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  #waitUntil(paidAtMs: number): void {
    this.#paidAtMs = paidAtMs
    this.#cancelTimer = this.#clock.schedule(Math.max(0, paidAtMs - this.#clock.now()), () => this.#serve())
  }

  /** Turns follow from when the one before was due, so that a late timer costs those who wait nothing of their rate. */
  #serve(): void {
    const now = this.#clock.now()
    let dueMs = Math.max(this.#paidAtMs, now - LATE_MS_MAX)
    this.#current?.resolve()
    for (;;) {
      this.#current = this.#takers.shift() ?? null
      if (this.#current === null || this.#bucket === null) return
      dueMs += this.#bucket.take(this.#current.bytes, dueMs)
      if (dueMs > now) return this.#waitUntil(dueMs)
      this.#current.resolve()
    }
  }

  #letAllGo(): void {
    this.#current?.resolve()
    this.#current = null
    for (let taker = this.#takers.shift(); taker; taker = this.#takers.shift()) taker.resolve()
  }
}

const SLICE_SECONDS = 0.05
const SLICE_BYTES_MIN = 16 * 1024
/** A process that stood still for longer than this has not been limited, but absent. */
const LATE_MS_MAX = 1_000
