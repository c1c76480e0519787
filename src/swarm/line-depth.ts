/**
 * How many pieces wait in line behind those that are being sent. While a piece travels, the news that it is there and the next assignment
 * take two round trips, in which a link does nothing. A piece in line keeps it busy, but spreads later, which a swarm pays for once per
 * doubling. So in a large swarm of few pieces nothing waits in line unless the idle time is the greater cost; in a small one of many
 * pieces a short line costs next to nothing, and makes good for whatever turns out slower than expected.
 */
export class LineDepth {
  #elapsedMs = 0
  #roundTripMs = 0

  /** A piece has taken `elapsedMs`, at a consumer that is `roundTripMs` away. */
  record(elapsedMs: number, roundTripMs: number): void {
    if (this.#elapsedMs === 0) {
      this.#elapsedMs = elapsedMs
      this.#roundTripMs = roundTripMs
    }
    this.#elapsedMs += WEIGHT * (elapsedMs - this.#elapsedMs)
    this.#roundTripMs += WEIGHT * (roundTripMs - this.#roundTripMs)
  }

  pieces(swarm: { members: number; pieces: number }): number {
    const spreadShare = spreadShareOf(swarm)
    const idleShare = this.#elapsedMs === 0 ? 0 : (2 * this.#roundTripMs) / this.#elapsedMs
    return idleShare < spreadShare ? 0 : Math.min(DEPTH_MAX, 1 + Math.floor(idleShare))
  }
}

/** Length of a line that costs next to nothing, and is kept between peers in any case. */
export function cheapDepth(swarm: { members: number; pieces: number }): number {
  return Math.min(CHEAP_MAX, Math.floor(CHEAP / spreadShareOf(swarm)))
}

/** What one more piece in line costs, as a share of the whole time: one piece-time per doubling. */
function spreadShareOf({ members, pieces }: { members: number; pieces: number }): number {
  return Math.log2(Math.max(2, members)) / Math.max(1, pieces)
}

const WEIGHT = 1 / 16
const DEPTH_MAX = 8
/** Share of the whole time that a line may cost where nothing calls for it. */
const CHEAP = 0.036
const CHEAP_MAX = 3
