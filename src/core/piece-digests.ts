import { assert } from './assert.ts'
import { DIGEST_BYTES } from './digest.ts'
import { PIECE_COUNT_MAX } from './piece-layout.ts'

/**
 * SHA-256 per piece, 32 bytes each in one array that grows with the highest index. With it, where that is known, the piece's prefix
 * digest: SHA-256 of the content from its first byte to the piece's last (docs/adr/0006-prefix-digests.md).
 */
export class PieceDigests {
  #bytes = new Uint8Array(16 * DIGEST_BYTES)
  /** None of tasks without a prefix digest. */
  #prefixes = new Uint8Array(0)
  #known = new Uint8Array(16)
  #count = 0

  get count(): number {
    return this.#count
  }

  has(index: number): boolean {
    return this.#known[index] > 0
  }

  /** A view of the 32 bytes, or null. */
  get(index: number): Uint8Array | null {
    return this.has(index) ? slot(this.#bytes, index) : null
  }

  /** A view of the 32 bytes of the piece's prefix digest, or null. */
  prefix(index: number): Uint8Array | null {
    return this.#known[index] === DIGEST_AND_PREFIX ? slot(this.#prefixes, index) : null
  }

  /** What was known of the piece before does not count any more, its prefix digest neither. */
  set(index: number, digest: Uint8Array, prefix: Uint8Array | null = null): void {
    assert(index >= 0 && index < PIECE_COUNT_MAX, 'piece index is within the limit')
    assert(digest.length === DIGEST_BYTES, 'digest is 32 bytes')
    assert(prefix === null || prefix.length === DIGEST_BYTES, 'prefix digest is 32 bytes')
    if (index >= this.#known.length) this.#grow(index + 1)
    if (this.#known[index] === 0) this.#count++
    this.#known[index] = prefix === null ? DIGEST_ONLY : DIGEST_AND_PREFIX
    slot(this.#bytes, index).set(digest)
    if (prefix === null) return
    if (this.#prefixes.length === 0) this.#prefixes = new Uint8Array(this.#bytes.length)
    slot(this.#prefixes, index).set(prefix)
  }

  /** Indices with a known digest, ascending. */
  *known(): Generator<number> {
    for (let index = 0; index < this.#known.length; index++) if (this.#known[index] > 0) yield index
  }

  #grow(atLeast: number): void {
    const capacity = Math.max(atLeast, this.#known.length * 2)
    this.#known = enlarged(this.#known, capacity)
    this.#bytes = enlarged(this.#bytes, capacity * DIGEST_BYTES)
    if (this.#prefixes.length > 0) this.#prefixes = enlarged(this.#prefixes, capacity * DIGEST_BYTES)
  }
}

const DIGEST_ONLY = 1
const DIGEST_AND_PREFIX = 2

function slot(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES)
}

function enlarged(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length)
  larger.set(bytes)
  return larger
}
