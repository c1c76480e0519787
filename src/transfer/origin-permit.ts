import type { Random } from '../core/random.ts'

/** A peer's place among those who may read the origin when their supernode is gone. */
export type OriginShare = {
  /** From 0. */
  readonly rank: number
  /** How many may read at once; at least 1. */
  readonly readers: number
}

/** After so long without anything new from those whose turn it was, it is the next ones'. */
const TURN_MS = 5_000
/** All later turns come together: by then nobody brings anything, and each download must end. */
const TURNS_MAX = 8

/**
 * Whether and when a download may read the origin. The first few of a fleet do so at once, each from another place; what they read goes
 * from peer to peer. The others' turns come one after the other, as long as nothing new comes.
 */
export class OriginPermit {
  /** False where the origin must not be read at all. */
  readonly isGiven: boolean
  readonly #random: Random
  #share: OriginShare = { rank: 0, readers: 1 }
  #waitMs = 0

  constructor(isGiven: boolean, random: Random) {
    this.isGiven = isGiven
    this.#random = random
  }

  /** The supernode says what the peer's place is. */
  learn(share: OriginShare): void {
    this.#share = share
    const turn = Math.floor(share.rank / share.readers)
    this.#waitMs = turn === 0 ? 0 : TURN_MS * (Math.min(turn, TURNS_MAX) + this.#random.next())
  }

  /**
   * Once it is the download's turn it stays so.
   * @param idleMs for so long nothing new has come
   */
  isDue(idleMs: number): boolean {
    if (idleMs >= this.#waitMs) this.#waitMs = 0
    return this.isGiven && this.#waitMs === 0
  }

  /** Where to begin: readers at the same time read different pieces. */
  startIn(pieceCount: number): number {
    const { rank, readers } = this.#share
    return Math.floor(((rank % readers) * pieceCount) / readers)
  }
}
