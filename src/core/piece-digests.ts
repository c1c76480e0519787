import { assert } from './assert.ts'
import { DIGEST_BYTES } from './digest.ts'
import { PIECE_COUNT_MAX } from './piece-layout.ts'

/** SHA-256 per piece, 32 bytes each in one array that grows with the highest index. */
export class PieceDigests {
  #bytes = new Uint8Array(16 * DIGEST_BYTES)
  #known = new Uint8Array(16)
  #count = 0

  get count(): number {
    return this.#count
  }

  has(index: number): boolean {
    return this.#known[index] === 1
  }

  /** A view of the 32 bytes, or null. */
  get(index: number): Uint8Array | null {
    if (!this.has(index)) return null
    return this.#bytes.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES)
  }

  set(index: number, digest: Uint8Array): void {
    assert(index >= 0 && index < PIECE_COUNT_MAX, 'piece index is within the limit')
    assert(digest.length === DIGEST_BYTES, 'digest is 32 bytes')
    if (index >= this.#known.length) this.#grow(index + 1)
    if (this.#known[index] === 0) this.#count++
    this.#known[index] = 1
    this.#bytes.set(digest, index * DIGEST_BYTES)
  }

  /** Indices with a known digest, ascending. */
  *known(): Generator<number> {
    for (let index = 0; index < this.#known.length; index++) if (this.#known[index] === 1) yield index
  }

  #grow(atLeast: number): void {
    const capacity = Math.max(atLeast, this.#known.length * 2)
    const known = new Uint8Array(capacity)
    known.set(this.#known)
    const bytes = new Uint8Array(capacity * DIGEST_BYTES)
    bytes.set(this.#bytes)
    this.#known = known
    this.#bytes = bytes
  }
}
