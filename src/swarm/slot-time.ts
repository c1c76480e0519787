import { SLOT_MIN_MS } from './limits.ts'

/**
 * For how long a piece on its way keeps a slot of its source: a few times as long as pieces take. Whoever is slow, never fetches or never
 * says so must not keep the others waiting.
 */
export class SlotTime {
  #usualMs = 0
  /** Grows with each slot that ends without its piece, until one comes. */
  #patience = 1

  /** Whether pieces that take so long are as fast as most, or faster; 0 is unknown. */
  isUsual(elapsedMs: number): boolean {
    return elapsedMs > 0 && elapsedMs <= USUAL_UP_TO * this.#usualMs
  }

  get ms(): number {
    return Math.min(MAX_MS, Math.max(SLOT_MIN_MS, FACTOR * this.#usualMs) * this.#patience)
  }

  /** @param expectedMs of this piece; 0 is unknown */
  msFor(expectedMs: number): number {
    return Math.max(this.ms, Math.min(MAX_MS, FACTOR * expectedMs))
  }

  record(elapsedMs: number): void {
    this.#usualMs += this.#usualMs === 0 ? elapsedMs : WEIGHT * (elapsedMs - this.#usualMs)
    this.#patience = 1
  }

  /** A slot has ended without its piece. If they all do, the links are slower than is known, and more pieces at once make it worse. */
  expire(): void {
    const growth = this.#usualMs === 0 ? UNKNOWN_GROWTH : GROWTH
    this.#patience = Math.min(PATIENCE_MAX, growth * this.#patience)
  }
}

const WEIGHT = 1 / 16
const FACTOR = 3
const USUAL_UP_TO = 2
const GROWTH = 2
/** Before any piece has come, a second consumer tells whether the first or the source is slow; with a third, a slow source is only slower. */
const UNKNOWN_GROWTH = 8
const MAX_MS = 15_000
const PATIENCE_MAX = 64
