import { createHash, type Hash } from 'node:crypto'
import { sameBytes } from '../core/digest.ts'
import type { PieceHash } from '../net/piece-answer.ts'
import type { TaskFile } from '../store/task-file.ts'
import type { ContentHash } from './content-hash.ts'

type Expected = {
  readonly hash: ContentHash
  readonly file: TaskFile
  /** First byte of the piece. */
  readonly start: number
  /** Of the piece, as the supernode names it. */
  readonly digest: Uint8Array
  /** The piece's prefix digest, as the supernode names it. */
  readonly prefix: Uint8Array
}

/**
 * Vouches for a piece by a pass that the whole content's digest can go on from: SHA-256 of all from the content's first byte to the piece's
 * last is compared with the prefix digest. Begins when all before the piece is hashed, with what has come until then. Where that is not in
 * time, or the two differ, the piece's own SHA-256 is what counts.
 */
export class PrefixHash implements PieceHash {
  readonly #piece: Uint8Array
  readonly #expected: Expected
  #fork: Hash | null = null
  #seenBytes = 0
  #hashedBytes = 0

  /** @param piece where its bytes come, one after the other */
  constructor(piece: Uint8Array, expected: Expected) {
    this.#piece = piece
    // What is known of a piece may change while it comes.
    const [digest, prefix] = [expected.digest.slice(), expected.prefix.slice()]
    this.#expected = { ...expected, digest, prefix }
  }

  update({ length }: Uint8Array): void {
    this.#seenBytes += length
    this.#catchUp()
  }

  digest(): Uint8Array {
    this.#catchUp()
    const { digest, prefix } = this.#expected
    if (this.#fork && sameBytes(this.#fork.copy().digest(), prefix)) return digest
    this.#fork = null
    return createHash('sha256').update(this.#piece).digest()
  }

  /** The whole content's hash up to the piece's end, if that has vouched for the piece. */
  get fork(): Hash | null {
    return this.#fork
  }

  #catchUp(): void {
    const { hash, file, start } = this.#expected
    this.#fork ??= hash.fork(file, start)
    if (!this.#fork) return
    this.#fork.update(this.#piece.subarray(this.#hashedBytes, this.#seenBytes))
    this.#hashedBytes = this.#seenBytes
  }
}
