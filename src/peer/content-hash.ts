import { createHash, type Hash } from 'node:crypto'
import { assert } from '../core/assert.ts'
import { type Digest, digestOf } from '../core/digest.ts'
import type { TaskFile } from '../store/task-file.ts'
import { endOfHeld } from './readable-stretch.ts'

const BLOCK_BYTES = 1024 ** 2

/**
 * The digest of a whole content, computed while its pieces come, so that little is left to do at the end: a piece that comes in its turn is
 * hashed as it comes, or from memory; whatever else is held without a gap from the first byte on is read again, in the background.
 */
export class ContentHash {
  #file: TaskFile | null = null
  #hash = createHash('sha256')
  #position = 0
  #block: Uint8Array | null = null
  #pass: Promise<void> | null = null
  #isStopped = false

  /** Whether all before `position` is hashed but for at most `lengthBytes`. */
  isNear(file: TaskFile, position: number, lengthBytes: number): boolean {
    if (this.#isStopped) return false
    this.#turnTo(file)
    return position >= this.#position && position - this.#position <= lengthBytes
  }

  /** To hash what comes at `position`, on top of all that is before it; null if not all of that is hashed. Counts when it is added. */
  fork(file: TaskFile, position: number): Hash | null {
    if (this.#isStopped || this.#pass !== null) return null
    this.#turnTo(file)
    return position === this.#position ? this.#hash.copy() : null
  }

  /**
   * Verified bytes on their way into the file, which have a part in the digest now if it is their turn. `fork` is one from this position
   * that has been given just them, if there is one.
   */
  add(file: TaskFile, position: number, bytes: Uint8Array, fork: Hash | null = null): void {
    if (this.#isStopped || this.#pass !== null) return
    this.#turnTo(file)
    if (position !== this.#position) return
    this.#hash = fork ?? this.#hash.update(bytes)
    this.#position += bytes.length
  }

  /** There may be more to hash. Another file than before is hashed from its first byte on. */
  advance(file: TaskFile): void {
    // What cannot be read now is read again, and its failure told, at the end.
    if (!this.#isStopped) this.#advance(file).catch(() => {})
  }

  /**
   * Of a file that holds everything.
   * @throws DragonflyError DISK_ERROR
   */
  async digest(file: TaskFile): Promise<Digest> {
    // A pass under way may have looked before the last piece was there.
    await this.#pass?.catch(() => {})
    await this.#advance(file)
    assert(this.#position === file.layout.lengthBytes, 'the whole content is hashed')
    const digest = digestOf(this.#hash.digest())
    this.stop()
    return digest
  }

  /** For good. */
  stop(): void {
    this.#isStopped = true
    this.#file = null
    this.#block = null
  }

  #turnTo(file: TaskFile): void {
    if (file === this.#file) return
    this.#file = file
    this.#hash = createHash('sha256')
    this.#position = 0
  }

  #advance(file: TaskFile): Promise<void> {
    this.#turnTo(file)
    if (this.#pass === null && endOfHeld(file, this.#position) === this.#position) return Promise.resolve()
    this.#pass ??= this.#hashHeld(file).finally(() => {
      this.#pass = null
    })
    return this.#pass
  }

  async #hashHeld(file: TaskFile): Promise<void> {
    while (file === this.#file) {
      const lengthBytes = endOfHeld(file, this.#position) - this.#position
      if (lengthBytes === 0) return
      this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES)
      const block = this.#block.subarray(0, lengthBytes)
      const count = await file.read(block, this.#position)
      if (file !== this.#file) return
      this.#hash.update(block.subarray(0, count))
      this.#position += count
    }
  }
}
