import { assert } from '../core/assert.ts'
import type { Bitmap } from '../core/bitmap.ts'
import { PIECE_COUNT_MAX } from '../core/piece-layout.ts'
import { pickIndex, type Random } from '../core/random.ts'

/** Room for pieces of a task of unknown length, before the first is there. */
const SIZE_UNKNOWN = 64

/** The pieces of a task: how many there are, which of them the seed offers, how many copies members have or await. */
export class PieceTable {
  readonly #random: Random
  /** Final number of pieces, null while the origin has not ended. */
  #count: number | null
  #size: number
  /** Which pieces the seed offers, as 0/1. */
  #offered: Uint8Array
  /** Per piece: members (without the seed) that hold it or are fetching it. */
  #copies: Uint32Array

  constructor(count: number | null, random: Random) {
    this.#random = random
    this.#count = count
    this.#size = count ?? SIZE_UNKNOWN
    this.#offered = new Uint8Array(this.#size)
    this.#copies = new Uint32Array(this.#size)
  }

  get count(): number | null {
    return this.#count
  }

  /** Of all bitmaps about these pieces. */
  get size(): number {
    return this.#size
  }

  /** Whether it exists as far as is known. Numbers of members are not to be trusted. */
  has(piece: number): boolean {
    return Number.isInteger(piece) && piece >= 0 && piece < (this.#count ?? this.#size)
  }

  isOffered(piece: number): boolean {
    return this.#offered[piece] === 1
  }

  offer(piece: number): void {
    this.#offered[piece] = 1
  }

  copiesOf(piece: number): number {
    return this.#copies[piece]
  }

  addCopy(piece: number): void {
    this.#copies[piece]++
  }

  removeCopy(piece: number): void {
    assert(this.#copies[piece] > 0, 'only a counted copy is removed')
    this.#copies[piece]--
  }

  seal(count: number): void {
    this.#count = count
  }

  /** Returns whether the size has changed. */
  growTo(size: number): boolean {
    assert(size <= PIECE_COUNT_MAX, 'piece count is within its limit')
    if (size <= this.#size) return false
    this.#size = Math.max(size, Math.min(this.#size * 2, PIECE_COUNT_MAX))
    const offered = new Uint8Array(this.#size)
    offered.set(this.#offered)
    this.#offered = offered
    const copies = new Uint32Array(this.#size)
    copies.set(this.#copies)
    this.#copies = copies
    return true
  }

  /** The first offered piece that nobody has or awaits, -1 if there is none. */
  firstFresh(): number {
    const end = this.#count ?? this.#size
    for (let piece = 0; piece < end; piece++) {
      if (this.#offered[piece] === 1 && this.#copies[piece] === 0) return piece
    }
    return -1
  }

  /** The rarest offered piece that is not `covered`, -1 if there is none; ties at random. */
  rarestOffered(covered: Bitmap): number {
    const end = this.#count ?? this.#size
    const offset = pickIndex(this.#random, Math.max(1, end))
    let best = -1
    let bestCopies = Number.POSITIVE_INFINITY
    for (let i = 0; i < end; i++) {
      const piece = (i + offset) % end
      if (this.#offered[piece] === 0 || this.#copies[piece] >= bestCopies || covered.has(piece)) continue
      best = piece
      bestCopies = this.#copies[piece]
    }
    return best
  }

  /**
   * The rarest piece of `held` that is not `covered`, -1 if there is none; ties at random. Only pieces that the seed has offered: the
   * digests of others are not known, so that they could not be verified.
   */
  rarestHeld(held: Bitmap, covered: Bitmap): number {
    const offset = pickIndex(this.#random, Math.max(1, held.size))
    let best = -1
    let bestCopies = Number.POSITIVE_INFINITY
    for (const [from, to] of [
      [offset, held.size],
      [0, offset],
    ]) {
      for (let piece = held.firstHeld(from); piece < to; piece = held.firstHeld(piece + 1)) {
        if (this.#copies[piece] >= bestCopies || covered.has(piece) || this.#offered[piece] === 0) continue
        best = piece
        bestCopies = this.#copies[piece]
      }
    }
    return best
  }
}
