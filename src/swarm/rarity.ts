import { assert } from '../core/assert.ts'
import { Bitmap } from '../core/bitmap.ts'

/**
 * Pieces in the order of how many copies there are, fewest first. A change by one moves a piece across one border between neighbours
 * of equal count, so it costs the same however many pieces there are. The order is for the seed, which can give any of them; for a source
 * that holds a part, the same pieces are there as sets, of which only the few that cross a class's border change.
 */
export class Rarity {
  /** Pieces, fewest copies first. */
  #order: Uint32Array
  /** Where each piece is in the order; what is not in it has none. */
  #place: Int32Array
  #copies: Uint32Array
  /** Per number of copies: how many pieces in the order have fewer. */
  #starts: number[] = [0]
  #length = 0
  /** Pieces in the order of which there is no copy. */
  readonly fresh: Bitmap
  /** Per class, the pieces in it that are in the order. */
  readonly #classes: Bitmap[] = []

  constructor(size: number) {
    this.#order = new Uint32Array(size)
    this.#place = new Int32Array(size).fill(NOWHERE)
    this.#copies = new Uint32Array(size)
    this.fresh = new Bitmap(size)
  }

  /** Pieces in the order. */
  get length(): number {
    return this.#length
  }

  at(place: number): number {
    return this.#order[place]
  }

  has(piece: number): boolean {
    return this.#place[piece] >= 0
  }

  copiesOf(piece: number): number {
    return this.#copies[piece]
  }

  /** Per class the pieces of about the same number of copies, to within a factor of four; the rarest class first. */
  get classes(): readonly Bitmap[] {
    return this.#classes
  }

  resize(size: number): void {
    this.#order = grown(this.#order, new Uint32Array(size))
    this.#place = grown(this.#place, new Int32Array(size).fill(NOWHERE))
    this.#copies = grown(this.#copies, new Uint32Array(size))
    for (const pieces of [this.fresh, ...this.#classes]) pieces.resize(size)
  }

  /** Takes a piece into the order. */
  add(piece: number): void {
    if (this.has(piece)) return
    const copies = this.#copies[piece]
    if (copies === 0) this.fresh.add(piece)
    this.#start(copies)
    this.#order[this.#length] = piece
    this.#place[piece] = this.#length++
    this.#classOf(copies).add(piece)
    let at = this.#length - 1
    for (let count = this.#starts.length - 1; count > copies; count--) {
      const start = this.#starts[count]++
      this.#swap(at, start)
      at = start
    }
  }

  increase(piece: number): void {
    const copies = this.#copies[piece]++
    if (!this.has(piece)) return
    this.fresh.delete(piece)
    const last = this.#start(copies + 1) - 1
    this.#swap(this.#place[piece], last)
    this.#starts[copies + 1] = last
    this.#reclass(piece, copies, copies + 1)
  }

  decrease(piece: number): void {
    assert(this.#copies[piece] > 0, 'only a counted copy is removed')
    const copies = this.#copies[piece]--
    if (!this.has(piece)) return
    if (copies === 1) this.fresh.add(piece)
    const first = this.#start(copies)
    this.#swap(this.#place[piece], first)
    this.#starts[copies] = first + 1
    this.#reclass(piece, copies, copies - 1)
  }

  #reclass(piece: number, before: number, now: number): void {
    if (classOf(before) === classOf(now)) return
    this.#classOf(before).delete(piece)
    this.#classOf(now).add(piece)
  }

  #classOf(copies: number): Bitmap {
    const rareness = classOf(copies)
    while (this.#classes.length <= rareness) this.#classes.push(new Bitmap(this.#copies.length))
    return this.#classes[rareness]
  }

  #start(copies: number): number {
    while (this.#starts.length <= copies) this.#starts.push(this.#length)
    return this.#starts[copies]
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#order[a], this.#order[b]]
    this.#order[a] = second
    this.#order[b] = first
    this.#place[second] = a
    this.#place[first] = b
  }
}

/** Pieces of one class count as equally rare: 0–2, 3–14, 15–62, … copies. */
function classOf(copies: number): number {
  return (31 - Math.clz32(copies + 1)) >> 1
}

const NOWHERE = -1

function grown<T extends Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from)
  return to
}
