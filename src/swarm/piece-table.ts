import { assert } from '../core/assert.ts'
import type { Bitmap } from '../core/bitmap.ts'
import { PIECE_COUNT_MAX } from '../core/piece-layout.ts'
import { pickIndex, type Random } from '../core/random.ts'
import { classOf, Rarity } from './rarity.ts'

/** Room for pieces of a task of unknown length, before the first is there. */
const SIZE_UNKNOWN = 64
/** A source that holds no more than this is looked through piece by piece, one that holds more in the order of rarity. */
const FEW = 48

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
  readonly #zones = new Map<number, Uint32Array>()

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
    return this.#rarity.length - this.#rarity.freshCount
  }

  /** Whether it exists as far as is known. Numbers of members are not to be trusted. */
  has(piece: number): boolean {
    return Number.isInteger(piece) && piece >= 0 && piece < (this.#count ?? this.#size)
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

  /** Held or awaited in the zone. */
  copiesIn(zone: number, piece: number): number {
    return this.#zones.get(zone)?.[piece] ?? 0
  }

  addCopy(piece: number, zone: number): void {
    this.#rarity.increase(piece)
    this.#ofZone(zone)[piece]++
  }

  removeCopy(piece: number, zone: number): void {
    this.#rarity.decrease(piece)
    this.#ofZone(zone)[piece]--
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
    for (const [zone, copies] of this.#zones) {
      const larger = new Uint32Array(this.#size)
      larger.set(copies)
      this.#zones.set(zone, larger)
    }
    return true
  }

  /** An offered piece that nobody has or awaits, the first one of those looked at; -1 if there is none. */
  fresh(): number {
    const count = Math.min(this.#rarity.freshCount, FEW)
    let first = -1
    for (let place = 0; place < count; place++) {
      const piece = this.#rarity.at(place)
      if (first < 0 || piece < first) first = piece
    }
    return first
  }

  /** The rarest offered piece that `isWanted`, -1 if there is none. */
  rarest(isWanted: (piece: number) => boolean): number {
    for (let place = 0; place < this.#rarity.length; place++) {
      const piece = this.#rarity.at(place)
      if (isWanted(piece)) return piece
    }
    return -1
  }

  /**
   * One of the rarest offered pieces of `held` that are not `covered` and pass `isWanted`, -1 if there is none. Rarity counts in
   * classes and chance decides within a class. (Were it exact, pieces of one age would keep pace with each other, so that all of them
   * were everywhere at the same moment and nobody had anything to give until the next ones had spread.)
   */
  rarestHeld(held: Bitmap, covered: Bitmap, isWanted?: (piece: number) => boolean): number {
    if (!held.hasBeyond(covered)) return -1
    const isUseful = (piece: number) =>
      held.has(piece) && !covered.has(piece) && (isWanted === undefined || isWanted(piece))
    return held.count <= FEW ? this.#rarestOfFew(held, isUseful) : this.#rarestInOrder(isUseful)
  }

  /** The first offered piece of `held` that is not `covered` and passes `isWanted`, -1 if there is none. */
  firstHeld(held: Bitmap, covered: Bitmap, isWanted?: (piece: number) => boolean): number {
    return this.#firstFrom(0, { held, covered, isWanted })
  }

  /** Any such piece. */
  anyHeld(held: Bitmap, covered: Bitmap, isWanted?: (piece: number) => boolean): number {
    const search = { held, covered, isWanted }
    const found = this.#firstFrom(pickIndex(this.#random, Math.max(1, held.size)), search)
    return found >= 0 ? found : this.#firstFrom(0, search)
  }

  #firstFrom(
    from: number,
    { held, covered, isWanted }: { held: Bitmap; covered: Bitmap; isWanted?: (piece: number) => boolean },
  ): number {
    for (let piece = held.firstHeld(from); piece < held.size; piece = held.firstHeld(piece + 1)) {
      if (!covered.has(piece) && this.isOffered(piece) && (isWanted === undefined || isWanted(piece)))
        return piece
    }
    return -1
  }

  #rarestInOrder(isUseful: (piece: number) => boolean): number {
    const first = this.#next(0, this.#rarity.length, isUseful)
    if (first < 0) return -1
    const end = this.#rarity.endOfClass(first)
    const from = first + pickIndex(this.#random, end - first)
    const place = this.#next(from, end, isUseful)
    return this.#rarity.at(place < 0 ? first : place)
  }

  #next(from: number, end: number, isUseful: (piece: number) => boolean): number {
    for (let place = from; place < end; place++) if (isUseful(this.#rarity.at(place))) return place
    return -1
  }

  #rarestOfFew(held: Bitmap, isUseful: (piece: number) => boolean): number {
    let best = -1
    let bestClass = Number.POSITIVE_INFINITY
    let equals = 0
    for (let piece = held.firstHeld(); piece < held.size; piece = held.firstHeld(piece + 1)) {
      if (!this.#rarity.has(piece) || !isUseful(piece)) continue
      const rareness = classOf(this.#rarity.copiesOf(piece))
      if (rareness > bestClass) continue
      equals = rareness < bestClass ? 1 : equals + 1
      if (equals > 1 && pickIndex(this.#random, equals) > 0) continue
      best = piece
      bestClass = rareness
    }
    return best
  }

  #ofZone(zone: number): Uint32Array {
    let copies = this.#zones.get(zone)
    if (!copies) {
      copies = new Uint32Array(this.#size)
      this.#zones.set(zone, copies)
    }
    return copies
  }
}
