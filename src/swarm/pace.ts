import { LINE_MAX, SLOT_MIN_MS, WINDOW_MAX } from './limits.ts'

type Abundance = {
  readonly members: number
  readonly pieces: number
  /** Pieces that others have or await, and the consumer does not. */
  readonly lacking: number
}

/**
 * How many pieces a consumer needs on their way so that its link is never idle. When a piece has come, the news of it and the next
 * assignment take two round trips, which are nothing beside the transfer near by, and many transfers far away.
 */
export class Pace {
  /** Of one piece, with and without the way there and back. */
  #elapsedMs = 0
  #transferMs = 0
  /** Doubles with each slot that ends without its piece, until one comes. */
  #patience = 1

  /** A piece has taken `elapsedMs`, at a consumer that is `roundTripMs` away. */
  record(elapsedMs: number, roundTripMs: number): void {
    const transferMs = Math.max(elapsedMs - roundTripMs, elapsedMs * TRANSFER_SHARE_MIN)
    if (this.#elapsedMs === 0) {
      this.#elapsedMs = elapsedMs
      this.#transferMs = transferMs
    }
    this.#patience = 1
    this.#elapsedMs += WEIGHT * (elapsedMs - this.#elapsedMs)
    this.#transferMs += WEIGHT * (transferMs - this.#transferMs)
  }

  /** A piece that takes longer has its slot no more: whoever is slow, never fetches or never says so must not keep the others waiting. */
  get slotMs(): number {
    const usualMs = this.#elapsedMs === 0 ? SLOT_UNKNOWN_MS : SLOT_FACTOR * this.#elapsedMs
    return Math.min(SLOT_MAX_MS, Math.max(SLOT_MIN_MS, usualMs) * this.#patience)
  }

  /** A slot has ended without its piece. If they all do, the links are slower than is known, and more pieces at once make it worse. */
  expire(): void {
    this.#patience = Math.min(PATIENCE_MAX, 2 * this.#patience)
  }

  /** Pieces on their way at once, at least 1. */
  window(roundTripMs: number): number {
    return Math.min(WINDOW_MAX, 1 + Math.floor(this.#idle(roundTripMs)))
  }

  /**
   * Pieces in line at a source that is sending to the consumer already. A piece in line is one that nobody else is given, and it spreads
   * later, which a swarm pays for once per doubling. So there is a line only where the idle time is the greater cost, and pieces abound.
   */
  line(roundTripMs: number, swarm: Abundance): number {
    const idle = this.#idle(roundTripMs)
    const spread = Math.log2(Math.max(2, swarm.members)) / Math.max(1, swarm.pieces)
    if (idle < spread) return 0
    return Math.min(Math.floor(swarm.lacking / LACKING_PER_PIECE), LINE_MAX, 1 + Math.round(STEPS * idle))
  }

  /** Transfers that the news and the next assignment take. */
  #idle(roundTripMs: number): number {
    return this.#transferMs === 0 ? 0 : (2 * roundTripMs) / this.#transferMs
  }
}

const WEIGHT = 1 / 16
const SLOT_FACTOR = 3
const SLOT_UNKNOWN_MS = 1_000
const SLOT_MAX_MS = 15_000
const PATIENCE_MAX = 64
/** Measurements are not better than that. */
const TRANSFER_SHARE_MIN = 1 / 16
const LACKING_PER_PIECE = 16
/** Pieces in line, beside the first, per idle transfer. */
const STEPS = 4
