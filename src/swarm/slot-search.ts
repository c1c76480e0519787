/**
 * How many uploads a host can serve at once without making each of them slower. Nobody knows the rate of a link before it is full: too few
 * uploads leave it idle, too many make every piece late, and with it all that follows from it. So the number doubles as long as pieces come
 * as fast as they did at best, and falls to what the link has carried once they do not. After an attempt in vain the next one is smaller
 * and twice as far away.
 */
export class SlotSearch {
  #slots = 1
  /** Bytes per millisecond of the fastest piece lately. */
  #best = 0
  /** Of the present round, as long as there are slots: pieces, and the sum of their shares of the rate that was to be expected. */
  #pieces = 0
  #shares = 0
  /** Pieces to come that began when there were too many at once. */
  #belated = 0
  /** Rounds until the next attempt, and how many there are after the next one in vain. */
  #rest = 0
  #patience = PATIENCE_MIN
  #isFound = false

  get slots(): number {
    return this.#slots
  }

  /**
   * A piece has come from the host.
   * @param rate bytes per millisecond
   * @param most the fastest that its consumer has had one from anywhere, 0 where unknown
   * @param load how many were under way
   */
  record(rate: number, most: number, load: number): void {
    if (this.#belated > 0) {
      this.#belated--
      return
    }
    if (load < FULL * this.#slots || (most === 0 && rate < SLOW * this.#best)) return
    this.#best = Math.max(this.#best, rate)
    this.#shares += Math.min(1, rate / (most > 0 ? Math.min(this.#best, most) : this.#best))
    if (++this.#pieces < this.#slots) return
    const share = this.#shares / this.#pieces
    this.#pieces = 0
    this.#shares = 0
    this.#best *= FADING
    const crowded = Math.min(CROWDED_MAX, Math.max(CROWDED_MIN, 1 - CROWDED_BY / this.#slots))
    if (share < crowded) this.#shrink(share, { rate, load })
    else if (this.#rest > 0) this.#rest--
    else if (share > crowded + FREE) this.#slots = Math.min(SLOTS_MAX, this.#slots + this.#step)
  }

  get #step(): number {
    return this.#isFound ? Math.ceil(this.#slots / 4) : this.#slots
  }

  #shrink(share: number, { rate, load }: { rate: number; load: number }): void {
    // Alone, and yet slow: the link has changed, or the best was not true.
    if (this.#slots === 1) this.#best = rate
    this.#slots = Math.max(1, Math.floor(this.#slots * share + ROUNDING))
    this.#belated = load - 1
    this.#rest = this.#patience
    this.#patience = Math.min(PATIENCE_MAX, 2 * this.#patience)
    this.#isFound = true
  }
}

/** Per round. */
const FADING = 0.995
/** Of the slots in use, for a piece to tell something about their number. */
const FULL = 0.75
/** Of the best rate, for an unknown consumer to be slow by itself. */
const SLOW = 0.25
/**
 * Below this share of the expected rate there are too many: one or two more than the link carries. Few pieces say little, so that much is
 * not asked of them.
 */
const CROWDED_BY = 1.2
const CROWDED_MIN = 0.7
const CROWDED_MAX = 0.9
/** So much above there may be room for more. */
const FREE = 0.06
/** What is found is a little less than what the link carries. */
const ROUNDING = 0.2
const PATIENCE_MIN = 16
const PATIENCE_MAX = 256
const SLOTS_MAX = 256
