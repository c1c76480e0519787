import { assert } from './assert.ts'

/** A set of piece indices with O(1) membership and a running count. */
export class Bitmap {
  /** Bit i of word ⌊i/32⌋, least significant first; what lies beyond the size is zero. Sets are compared 32 indices at a time. */
  #words: Uint32Array
  #size: number
  #count = 0

  /** @param size number of indices; indices are `0 ≤ index < size` */
  constructor(size: number) {
    assert(Number.isInteger(size) && size >= 0, 'bitmap size is a natural number')
    this.#size = size
    this.#words = new Uint32Array((size + 31) >>> 5)
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
    return index < this.#size && ((this.#words[index >>> 5] >>> (index & 31)) & 1) === 1
  }

  /** Returns whether the index was new. */
  add(index: number): boolean {
    assert(index >= 0 && index < this.#size, 'bitmap index is in range')
    if (this.has(index)) return false
    this.#words[index >>> 5] |= 1 << (index & 31)
    this.#count++
    return true
  }

  /** Returns whether the index was there. */
  delete(index: number): boolean {
    if (!this.has(index)) return false
    this.#words[index >>> 5] &= ~(1 << (index & 31))
    this.#count--
    return true
  }

  /** Grows or shrinks to `size`; members beyond the new size are dropped. */
  resize(size: number): void {
    for (let index = size; index < this.#size; index++) this.delete(index)
    const words = new Uint32Array((size + 31) >>> 5)
    for (let i = 0; i < Math.min(words.length, this.#words.length); i++) words[i] = this.#words[i]
    this.#words = words
    this.#size = size
  }

  /** First index ≥ `from` that is not a member, or `size`. */
  firstMissing(from = 0): number {
    if (from >= this.#size) return this.#size
    let at = from >>> 5
    let bits = ~this.#words[at] & (-1 << (from & 31))
    while (bits === 0 && ++at < this.#words.length) bits = ~this.#words[at]
    return bits === 0 ? this.#size : Math.min(this.#size, lowestIn(at, bits))
  }

  /** Whether it has a member that `other` lacks. */
  hasBeyond(other: Bitmap): boolean {
    const ours = this.#words
    const theirs = other.#words
    const common = Math.min(ours.length, theirs.length)
    for (let i = 0; i < common; i++) if ((ours[i] & ~theirs[i]) !== 0) return true
    for (let i = common; i < ours.length; i++) if (ours[i] !== 0) return true
    return false
  }

  /** First index ≥ `from` that is a member, or `size`. */
  firstHeld(from = 0): number {
    if (from >= this.#size) return this.#size
    let at = from >>> 5
    let bits = this.#words[at] & (-1 << (from & 31))
    while (bits === 0 && ++at < this.#words.length) bits = this.#words[at]
    return bits === 0 ? this.#size : lowestIn(at, bits)
  }

  /** How many members below `end` it has that `other` has as well and `without` lacks. */
  countCommon(other: Bitmap, without: Bitmap, end = this.#size): number {
    let count = 0
    const words = (Math.min(end, this.#size) + 31) >>> 5
    for (let at = 0; at < words; at++) count += bitsIn(this.#common(at, other, without, end))
    return count
  }

  /** The one of these that `n` others precede. */
  nthCommon(n: number, other: Bitmap, without: Bitmap): number {
    let left = n
    for (let at = 0; at < this.#words.length; at++) {
      let bits = this.#common(at, other, without, this.#size)
      const count = bitsIn(bits)
      if (left < count) {
        while (left-- > 0) bits &= bits - 1
        return lowestIn(at, bits)
      }
      left -= count
    }
    return this.#size
  }

  #common(at: number, other: Bitmap, without: Bitmap, end: number): number {
    const bits = this.#words[at] & other.#words[at] & ~without.#words[at]
    const beyond = 32 * at + 32 - end
    return beyond > 0 ? bits & (ALL >>> beyond) : bits
  }

  /** The members, ascending. */
  *members(): Generator<number> {
    for (let index = this.firstHeld(); index < this.#size; index = this.firstHeld(index + 1)) yield index
  }

  /** Bit i of byte ⌊i/8⌋, least significant first. */
  encode(): Uint8Array {
    const bytes = new Uint8Array((this.#size + 7) >>> 3)
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.#words[i >>> 2] >>> (8 * (i & 3))
    return bytes
  }
}

const ALL = 0xffff_ffff

/** Of 32. The sums of two, four, eight neighbours at once; the product adds up the bytes. */
function bitsIn(bits: number): number {
  const twos = bits - ((bits >>> 1) & 0x5555_5555)
  const fours = (twos & 0x3333_3333) + ((twos >>> 2) & 0x3333_3333)
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}

/** The index of the lowest bit that is set in this word. */
function lowestIn(word: number, bits: number): number {
  return 32 * word + 31 - Math.clz32(bits & -bits)
}
