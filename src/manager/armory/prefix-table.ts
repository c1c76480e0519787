import { assert } from '../../core/assert.ts'
import { type Cidr, type IpAddress, maskWord } from '../../core/ip-address.ts'

/**
 * Prefixes to numbers: one hash table with open addressing in typed arrays, 21 bytes per slot, which a look-up asks once per prefix length
 * that occurs, the longest first. It fills as the lines come, so that a million of them need no sorting pause.
 */
export class PrefixTable {
  #words = new Uint32Array(4 * SLOTS_MIN)
  /** Family and length of the prefix in a slot, from 1; 0 is an empty slot. */
  #kinds = new Uint8Array(SLOTS_MIN)
  #values = new Uint32Array(SLOTS_MIN)
  #mask = SLOTS_MIN - 1
  #size = 0
  /** Of the kinds that occur, the longest prefix first. */
  #kindsInUse: number[] = []
  readonly #isInUse = new Uint8Array(KIND_6 + 129)

  /** Adds a prefix, and returns the value of the same prefix that is there already, which stays, or null. */
  add({ family, words, length }: Cidr, value: number): number | null {
    const kind = kindOf(family, length)
    const found = this.#find(kind, words)
    if (this.#kinds[found] !== 0) return this.#values[found]
    if (this.#isInUse[kind] === 0) {
      this.#isInUse[kind] = 1
      this.#kindsInUse = [...this.#kindsInUse, kind].sort((a, b) => lengthOf(b) - lengthOf(a) || a - b)
    }
    if (2 * (this.#size + 1) > this.#kinds.length) this.#grow()
    this.#put(kind, words, value)
    this.#size++
    return null
  }

  /** The value of the longest prefix in which one of the addresses lies; of equally long ones the first address decides. Null: none. */
  find(addresses: readonly IpAddress[]): number | null {
    if (addresses.length === 0) return null
    for (const kind of this.#kindsInUse) {
      const [family, length] = [familyOf(kind), lengthOf(kind)]
      for (const address of addresses) {
        if (address.family !== family) continue
        const slot = this.#find(kind, address.words, length)
        if (this.#kinds[slot] !== 0) return this.#values[slot]
      }
    }
    return null
  }

  /** The slot of the first `length` bits, or the empty one where they would stand. */
  #find(kind: number, words: ArrayLike<number>, length = 128): number {
    const first = maskWord(words[0], length)
    const second = words.length === 1 ? 0 : maskWord(words[1], length - 32)
    const third = words.length === 1 ? 0 : maskWord(words[2], length - 64)
    const fourth = words.length === 1 ? 0 : maskWord(words[3], length - 96)
    let slot = hash(hash(hash(hash(kind, first), second), third), fourth) & this.#mask
    while (this.#kinds[slot] !== 0) {
      const at = 4 * slot
      const isSame =
        this.#kinds[slot] === kind &&
        this.#words[at] === first &&
        this.#words[at + 1] === second &&
        this.#words[at + 2] === third &&
        this.#words[at + 3] === fourth
      if (isSame) break
      slot = (slot + 1) & this.#mask
    }
    return slot
  }

  #put(kind: number, words: ArrayLike<number>, value: number): void {
    const slot = this.#find(kind, words)
    assert(this.#kinds[slot] === 0, 'a prefix has one slot')
    this.#kinds[slot] = kind
    this.#words.set(words, 4 * slot)
    this.#values[slot] = value
  }

  #grow(): void {
    const [kinds, words, values] = [this.#kinds, this.#words, this.#values]
    this.#kinds = new Uint8Array(2 * kinds.length)
    this.#words = new Uint32Array(2 * words.length)
    this.#values = new Uint32Array(2 * values.length)
    this.#mask = this.#kinds.length - 1
    for (const [slot, kind] of kinds.entries()) {
      if (kind !== 0) this.#put(kind, words.subarray(4 * slot, 4 * slot + 4), values[slot])
    }
  }
}

const SLOTS_MIN = 64

/** 1–33 are the lengths 0–32 of IPv4, 34–162 the lengths 0–128 of IPv6. */
const KIND_6 = 34

function kindOf(family: 4 | 6, length: number): number {
  return family === 4 ? 1 + length : KIND_6 + length
}

function familyOf(kind: number): 4 | 6 {
  return kind < KIND_6 ? 4 : 6
}

function lengthOf(kind: number): number {
  return kind < KIND_6 ? kind - 1 : kind - KIND_6
}

function hash(state: number, word: number): number {
  const mixed = Math.imul(state ^ word, 0x9e3779b1)
  const stirred = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca77)
  return stirred ^ (stirred >>> 13)
}
