import { jitter, type Random } from '../core/random.ts'

const MIN_MS = 200
const MAX_MS = 5_000
/** A channel that has lasted so long is no failed attempt. */
const LASTING_MS = 2_000

/** Pauses between attempts to reach a supernode: none after a channel that lasted, twice as long after each attempt that failed. */
export class Backoff {
  readonly #random: Random
  #pauseMs = MIN_MS

  constructor(random: Random) {
    this.#random = random
  }

  /** @param lastedMs how long the last channel was open, 0 if there was none */
  nextMs(lastedMs: number): number {
    if (lastedMs >= LASTING_MS) {
      this.#pauseMs = MIN_MS
      return 0
    }
    const pauseMs = jitter(this.#random, this.#pauseMs)
    this.#pauseMs = Math.min(2 * this.#pauseMs, MAX_MS)
    return pauseMs
  }
}
