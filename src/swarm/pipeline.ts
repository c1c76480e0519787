import { LINE_MAX, WINDOW_MAX } from './limits.ts'

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
export class Pipeline {
  /** Of one piece, without the way there and back. */
  #transferMs = 0

  /** A piece has taken `elapsedMs`, at a consumer that is `roundTripMs` away. */
  record(elapsedMs: number, roundTripMs: number): void {
    const transferMs = Math.max(elapsedMs - roundTripMs, elapsedMs * TRANSFER_SHARE_MIN)
    this.#transferMs += this.#transferMs === 0 ? transferMs : WEIGHT * (transferMs - this.#transferMs)
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
/** Measurements are not better than that. */
const TRANSFER_SHARE_MIN = 1 / 16
const LACKING_PER_PIECE = 16
/** Pieces in line, beside the first, per idle transfer. */
const STEPS = 4
