import { assert } from '../core/assert.ts'
import { Bitmap } from '../core/bitmap.ts'
import { PIECE_COUNT_MAX } from '../core/piece-layout.ts'
import { pickIndex, type Random } from '../core/random.ts'
import { Rarity } from './rarity.ts'

/** Room for pieces of a task of unknown length, before the first is there. */
const SIZE_UNKNOWN = 64

/** Pieces with `start ≤ piece < end`. */
export type PieceSpan = { readonly start: number; readonly end: number }

/** What a piece is picked from: what a source holds and a consumer neither has nor awaits. */
export type Candidates = {
  readonly held: Bitmap
  readonly covered: Bitmap
  readonly within: PieceSpan
}

/**
 * The pieces of a task: how many there are, which of them the seed offers, how many copies members have or await, in total and per
 * zone. Only what the seed has offered can be fetched: the digests of others are not known.
 */
export class PieceTable {
  readonly #random: Random
  /** Final number of pieces, null while the origin has not ended. */
  #count: number | null
  #size: number
  readonly #rarity: Rarity
  readonly #zones = new Map<number, ZoneCopies>()

  constructor(count: number | null, random: Random) {
    this.#random = random
    this.#count = count
    this.#size = count ?? SIZE_UNKNOWN
    this.#rarity = new Rarity(this.#size)
  }

  get count(): number | null {
    return this.#count
  }

  /** Of all bitmaps about these pieces. */
  get size(): number {
    return this.#size
  }

  /** Number of pieces that the seed offers. */
  get offeredCount(): number {
    return this.#rarity.length
  }

  /** Number of offered pieces that members have or await. */
  get copiedCount(): number {
    return this.#rarity.length - this.#rarity.fresh.count
  }

  /** Whether it exists as far as is known. Numbers of members are not to be trusted. */
  has(piece: number): boolean {
    return Number.isInteger(piece) && piece >= 0 && piece < (this.#count ?? this.#size)
  }

  /** Whether the seed offers something that no member has or awaits. */
  get hasFresh(): boolean {
    return this.#rarity.fresh.count > 0
  }

  isOffered(piece: number): boolean {
    return this.#rarity.has(piece)
  }

  offer(piece: number): void {
    this.#rarity.add(piece)
  }

  copiesOf(piece: number): number {
    return this.#rarity.copiesOf(piece)
  }

  /** What members in the zone have or await. */
  coveredIn(zone: number): Bitmap {
    return this.#ofZone(zone).covered
  }

  addCopy(piece: number, zone: number): void {
    this.#rarity.increase(piece)
    const { copies, covered } = this.#ofZone(zone)
    if (copies[piece]++ === 0) covered.add(piece)
  }

  removeCopy(piece: number, zone: number): void {
    this.#rarity.decrease(piece)
    const { copies, covered } = this.#ofZone(zone)
    if (--copies[piece] === 0) covered.delete(piece)
  }

  seal(count: number): void {
    this.#count = count
  }

  /** Returns whether the size has changed. */
  growTo(size: number): boolean {
    assert(size <= PIECE_COUNT_MAX, 'piece count is within its limit')
    if (size <= this.#size) return false
    this.#size = Math.max(size, Math.min(this.#size * 2, PIECE_COUNT_MAX))
    this.#rarity.resize(this.#size)
    for (const [zone, { copies, covered }] of this.#zones) {
      const larger = new Uint32Array(this.#size)
      larger.set(copies)
      covered.resize(this.#size)
      this.#zones.set(zone, { copies: larger, covered })
    }
    return true
  }

  /** The first offered piece that nobody has or awaits, -1 if there is none. */
  fresh({ start, end }: PieceSpan): number {
    const piece = this.#rarity.fresh.firstHeld(start)
    return piece < Math.min(end, this.#size) ? piece : -1
  }

  /** The rarest offered piece that is not `covered`, -1 if there is none. */
  rarest(covered: Bitmap, { start, end }: PieceSpan): number {
    for (let place = 0; place < this.#rarity.length; place++) {
      const piece = this.#rarity.at(place)
      if (piece >= start && piece < end && !covered.has(piece)) return piece
    }
    return -1
  }

  /**
   * One of the rarest that are offered, -1 if there is none. Rarity counts in classes and chance decides within a class. (Were it exact,
   * pieces of one age would keep pace with each other, so that all of them were everywhere at the same moment and nobody had anything to
   * give until the next ones had spread.)
   */
  rarestOf({ held, covered, within: { start, end } }: Candidates): number {
    for (const pieces of this.#rarity.classes) {
      const before = start > 0 ? pieces.countCommon(held, covered, start) : 0
      const count = pieces.countCommon(held, covered, end) - before
      if (count > 0) return pieces.nthCommon(before + pickIndex(this.#random, count), held, covered)
    }
    return -1
  }

  /** The first that is offered, -1 if there is none. */
  firstOf(candidates: Candidates): number {
    return this.#firstFrom(candidates.within.start, candidates)
  }

  /** Any that is offered, -1 if there is none. */
  anyOf(candidates: Candidates): number {
    const { start } = candidates.within
    const from = pickIndex(this.#random, Math.max(1, candidates.held.size))
    const found = this.#firstFrom(Math.max(start, from), candidates)
    return found >= 0 ? found : this.#firstFrom(start, candidates)
  }

  #firstFrom(from: number, { held, covered, within }: Candidates): number {
    for (
      let piece = held.firstHeld(from);
      piece < Math.min(within.end, held.size);
      piece = held.firstHeld(piece + 1)
    ) {
      if (!covered.has(piece) && this.isOffered(piece)) return piece
    }
    return -1
  }

  #ofZone(zone: number): ZoneCopies {
    let ofZone = this.#zones.get(zone)
    if (!ofZone) {
      ofZone = { copies: new Uint32Array(this.#size), covered: new Bitmap(this.#size) }
      this.#zones.set(zone, ofZone)
    }
    return ofZone
  }
}

/** Copies that members in the zone have or await, and of which pieces there is any. */
type ZoneCopies = {
  readonly copies: Uint32Array
  readonly covered: Bitmap
}
