/** Bytes per second over the last second, and the best such second so far. */

const SLOT_MS = 100
const SLOTS = 10

export class RateMeter {
  readonly #slots = new Float64Array(SLOTS)
  readonly #startedAt: number
  #slot = 0
  #total = 0
  #best = 0

  constructor(now: number) {
    this.#startedAt = now
  }

  add(bytes: number, now: number): void {
    this.#advance(now)
    this.#slots[this.#slot % SLOTS] += bytes
    this.#total += bytes
  }

  rate(now: number): number {
    this.#advance(now)
    return this.#sum() / (Math.min(Math.max(now - this.#startedAt, SLOT_MS), SLOT_MS * SLOTS) / 1000)
  }

  /** The best full second; the overall rate where there has been less than one. */
  best(now: number): number {
    this.#advance(now)
    return Math.max(
      this.#best,
      this.#best === 0 ? this.#total / (Math.max(now - this.#startedAt, 1) / 1000) : 0,
    )
  }

  #sum(): number {
    return this.#slots.reduce((sum, bytes) => sum + bytes, 0)
  }

  #advance(now: number): void {
    const slot = Math.floor((now - this.#startedAt) / SLOT_MS)
    while (this.#slot < slot) {
      if (this.#slot >= SLOTS - 1) this.#best = Math.max(this.#best, this.#sum())
      this.#slot++
      this.#slots[this.#slot % SLOTS] = 0
      if (slot - this.#slot > SLOTS && this.#sum() === 0) this.#slot = slot
    }
  }
}
