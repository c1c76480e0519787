import { assert } from './assert.ts'

/** A set of piece indices with O(1) membership and a running count. Bit i of byte ⌊i/8⌋, least significant first. */
export class Bitmap {
  #bytes: Uint8Array
  /** The same memory, so that sets are compared 32 indices at a time. */
  #words: Uint32Array
  #size: number
  #count = 0

  /** @param size number of indices; indices are `0 ≤ index < size` */
  constructor(size: number) {
    assert(Number.isInteger(size) && size >= 0, 'bitmap size is a natural number')
    this.#size = size
    this.#words = new Uint32Array((size + 31) >> 5)
    this.#bytes = new Uint8Array(this.#words.buffer, 0, (size + 7) >> 3)
  }

  /** Reads `encode()`'s form. Bits beyond `size` are ignored, missing bytes are zero. */
  static decode(bytes: Uint8Array, size: number): Bitmap {
    const bitmap = new Bitmap(size)
    for (let index = 0; index < size; index++) {
      if (((bytes[index >> 3] ?? 0) >> (index & 7)) & 1) bitmap.add(index)
    }
    return bitmap
  }

  get size(): number {
    return this.#size
  }

  get count(): number {
    return this.#count
  }

  get isFull(): boolean {
    return this.#count === this.#size
  }

  has(index: number): boolean {
    return index < this.#size && ((this.#bytes[index >> 3] >> (index & 7)) & 1) === 1
  }

  /** Returns whether the index was new. */
  add(index: number): boolean {
    assert(index >= 0 && index < this.#size, 'bitmap index is in range')
    if (this.has(index)) return false
    this.#bytes[index >> 3] |= 1 << (index & 7)
    this.#count++
    return true
  }

  /** Returns whether the index was there. */
  delete(index: number): boolean {
    if (!this.has(index)) return false
    this.#bytes[index >> 3] &= ~(1 << (index & 7))
    this.#count--
    return true
  }

  /** Grows or shrinks to `size`; members beyond the new size are dropped. */
  resize(size: number): void {
    for (let index = size; index < this.#size; index++) this.delete(index)
    const words = new Uint32Array((size + 31) >> 5)
    const bytes = new Uint8Array(words.buffer, 0, (size + 7) >> 3)
    bytes.set(this.#bytes.subarray(0, Math.min(bytes.length, this.#bytes.length)))
    this.#words = words
    this.#bytes = bytes
    this.#size = size
  }

  /** First index ≥ `from` that is not a member, or `size`. */
  firstMissing(from = 0): number {
    let index = from
    while (index < this.#size) {
      if ((index & 7) === 0 && this.#bytes[index >> 3] === 0xff) index += 8
      else if (this.has(index)) index++
      else return index
    }
    return this.#size
  }

  /** Whether it has a member that `other` lacks. */
  hasBeyond(other: Bitmap): boolean {
    const [ours, theirs] = [this.#words, other.#words]
    const common = Math.min(ours.length, theirs.length)
    for (let i = 0; i < common; i++) if ((ours[i] & ~theirs[i]) !== 0) return true
    for (let i = common; i < ours.length; i++) if (ours[i] !== 0) return true
    return false
  }

  /** First index ≥ `from` that is a member, or `size`. */
  firstHeld(from = 0): number {
    let index = from
    while (index < this.#size) {
      if ((index & 7) === 0 && this.#bytes[index >> 3] === 0) index += 8
      else if (!this.has(index)) index++
      else return index
    }
    return this.#size
  }

  /** The members, ascending. */
  *members(): Generator<number> {
    for (let index = this.firstHeld(); index < this.#size; index = this.firstHeld(index + 1)) yield index
  }

  encode(): Uint8Array {
    return this.#bytes.slice()
  }
}
