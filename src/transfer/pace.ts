/** Deadlines of a piece, from how long its fellows took. */

const SAMPLES = 32
const SAMPLES_MIN = 4
const HEDGE_FACTOR = 4
const ABANDON_FACTOR = 16
const HEDGE_MIN_MS = 1_500
const ABANDON_MIN_MS = 15_000
/** Before there is a median, a piece without any byte for the transport's idle time-out fails there; a crawling one is hedged after this. */
const HEDGE_UNKNOWN_MS = 8_000
/** A source that needs longer than this for a piece is of no use, even if nothing is known of others. */
const ABANDON_UNKNOWN_MS = 600_000

export class Pace {
  readonly #samples: number[] = []
  /** Where the next sample goes, in place of the oldest. */
  #next = 0
  /** Null where it is to be worked out anew. */
  #median: number | null = null

  record(elapsedMs: number): void {
    this.#samples[this.#next] = elapsedMs
    this.#next = (this.#next + 1) % SAMPLES
    this.#median = null
  }

  /** Age at which a piece may be asked of a second source. */
  get hedgeAfterMs(): number {
    const median = this.#known()
    return median === null ? HEDGE_UNKNOWN_MS : Math.max(HEDGE_MIN_MS, HEDGE_FACTOR * median)
  }

  /** Whether a piece may be asked of a second source. Hardly any is old enough for the median to be worked out. */
  isLate(ageMs: number): boolean {
    return ageMs > HEDGE_MIN_MS && ageMs > this.hedgeAfterMs
  }

  /** Whether a source is to be given up for a piece. */
  isHopeless(ageMs: number): boolean {
    if (ageMs <= ABANDON_MIN_MS) return false
    const median = this.#known()
    return ageMs > (median === null ? ABANDON_UNKNOWN_MS : ABANDON_FACTOR * median)
  }

  /** The median, null before there is one. */
  #known(): number | null {
    if (this.#samples.length < SAMPLES_MIN) return null
    if (this.#median === null) {
      const sorted = Float64Array.from(this.#samples).sort()
      this.#median = sorted[sorted.length >> 1]
    }
    return this.#median
  }
}
