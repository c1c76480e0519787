/** Longer than this between two events, and the process stood still: a tick comes five times a second. */
export const STANDSTILL_MS = 2_000

/** The time in which something could have happened: that in which the process, or its machine, stood still does not count. */
export class LivedTime {
  #seenAt: number
  #lostMs = 0

  constructor(now: number) {
    this.#seenAt = now
  }

  at(now: number): number {
    this.#lostMs += Math.max(0, now - this.#seenAt - STANDSTILL_MS)
    this.#seenAt = now
    return now - this.#lostMs
  }
}
