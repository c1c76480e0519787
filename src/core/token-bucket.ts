import { assert } from './assert.ts'

/**
 * A rate limit as arithmetic: tokens are bytes. Debt is allowed, so one large take is one wait and the long-run rate is exact. It begins
 * empty, because nothing was idle before it.
 */
export class TokenBucket {
  #rateBytesPerSecond: number
  #tokens = 0
  #filledAtMs: number

  constructor(rateBytesPerSecond: number, nowMs: number) {
    assert(rateBytesPerSecond > 0, 'rate is positive')
    this.#rateBytesPerSecond = rateBytesPerSecond
    this.#filledAtMs = nowMs
  }

  get rateBytesPerSecond(): number {
    return this.#rateBytesPerSecond
  }

  /** From now on. What was earned, or is owed, stays; so changing the rate again and again gives nothing away. */
  setRate(rateBytesPerSecond: number, nowMs: number): void {
    assert(rateBytesPerSecond > 0, 'rate is positive')
    this.#fill(nowMs)
    this.#rateBytesPerSecond = rateBytesPerSecond
    this.#tokens = Math.min(this.#tokens, this.#burstBytes)
  }

  /** Takes `bytes` now and returns how many milliseconds the caller must wait before it goes on. */
  take(bytes: number, nowMs: number): number {
    this.#fill(nowMs)
    this.#tokens -= bytes
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#rateBytesPerSecond) * 1000
  }

  get #burstBytes(): number {
    return this.#rateBytesPerSecond * BURST_SECONDS
  }

  #fill(nowMs: number): void {
    const elapsedSeconds = Math.max(0, nowMs - this.#filledAtMs) / 1000
    this.#tokens = Math.min(this.#burstBytes, this.#tokens + elapsedSeconds * this.#rateBytesPerSecond)
    this.#filledAtMs = Math.max(this.#filledAtMs, nowMs)
  }
}

/**
 * What an idle link may make good for afterwards. Between two pieces a peer waits for the next assignment, on a busy host for several
 * tens of milliseconds, and would otherwise lose that share of its rate.
 */
const BURST_SECONDS = 0.1
