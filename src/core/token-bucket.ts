import { assert } from './assert.ts'

/** A rate limit as arithmetic: tokens are bytes. Debt is allowed, so one large take is one wait and the long-run rate is exact. */
export class TokenBucket {
  #rateBytesPerSecond: number
  #burstBytes: number
  #tokens: number
  #filledAtMs: number

  constructor(rateBytesPerSecond: number, nowMs: number) {
    assert(rateBytesPerSecond > 0, 'rate is positive')
    this.#rateBytesPerSecond = rateBytesPerSecond
    this.#burstBytes = rateBytesPerSecond * BURST_SECONDS
    this.#tokens = this.#burstBytes
    this.#filledAtMs = nowMs
  }

  get rateBytesPerSecond(): number {
    return this.#rateBytesPerSecond
  }

  /** Takes `bytes` now and returns how many milliseconds the caller must wait before it goes on. */
  take(bytes: number, nowMs: number): number {
    const elapsedSeconds = Math.max(0, nowMs - this.#filledAtMs) / 1000
    this.#tokens = Math.min(this.#burstBytes, this.#tokens + elapsedSeconds * this.#rateBytesPerSecond)
    this.#filledAtMs = Math.max(this.#filledAtMs, nowMs)
    this.#tokens -= bytes
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#rateBytesPerSecond) * 1000
  }
}

/**
 * What an idle link may make good for afterwards. Between two pieces a peer waits for the next assignment, on a busy host for several
 * tens of milliseconds, and would otherwise lose that share of its rate.
 */
const BURST_SECONDS = 0.1
