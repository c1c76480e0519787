import { createHash } from 'node:crypto'
import { assert } from '../core/assert.ts'
import type { Bitmap } from '../core/bitmap.ts'
import { type Digest, digestOf } from '../core/digest.ts'
import { DragonflyError } from '../core/error.ts'
import type { Generation, Validator } from '../core/generation.ts'
import type { PieceDigests } from '../core/piece-digests.ts'
import { isValidLayout, type PieceLayout, pieceCount } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'
import { Descriptor } from './descriptor.ts'
import {
  readAt,
  removeFile,
  renameFile,
  statDescriptor,
  statPath,
  syncData,
  syncDirectories,
  truncateFile,
  writeAll,
} from './disk.ts'
import { fingerprintOf, sameFingerprint } from './fingerprint.ts'
import { hashContent } from './hash-content.ts'
import { JoinedWork } from './joined-work.ts'
import type { Journal } from './journal.ts'
import { checkPieceFits } from './piece-fit.ts'
import { type Completion, encodeCompletion, encodeLength, encodePiece } from './record.ts'
import { isSmallContent } from './small-content.ts'
import type { Tail, TaskContent } from './task-content.ts'
import { WriteBack } from './write-back.ts'

type TaskFileOptions = {
  readonly sharedPath: string
  readonly recordPath: string
  /** Calls `settle()` when it is this file's turn. */
  readonly end: (file: TaskFile) => Promise<void>
}

type PieceWrite = { readonly lengthBytes: number; readonly done: Promise<void> }

/**
 * The content of one task on disk. `held` and `digests` are for reading: only `writePiece` adds to them.
 *
 * Between `discard()` or `close()` and the last lease's end, reads go on and everything that writes fails with TASK_UNKNOWN.
 */
export class TaskFile {
  readonly taskId: TaskId
  readonly url: string
  readonly generation: Generation
  readonly validator: Validator
  /** While the length is unknown, its size is one more than the highest index held. */
  readonly held: Bitmap
  readonly digests: PieceDigests
  readonly writeBack: WriteBack

  readonly #options: TaskFileOptions
  readonly #file: Descriptor
  readonly #journal: Journal
  #layout: PieceLayout
  #path: string
  #completion: Completion | null
  #tail: Tail | null
  readonly #writing = new Map<number, PieceWrite>()
  readonly #busy = new Set<Promise<unknown>>()
  #sealing: { readonly layout: PieceLayout; readonly done: Promise<void> } | null = null
  #completing: Promise<void> | null = null
  #computedDigest: Digest | null = null
  readonly #digesting = new JoinedWork(signal => this.#computeDigest(signal))
  #fate: 'stay' | 'close' | 'discard' = 'stay'
  #settled: Promise<void> | null = null

  constructor(content: TaskContent, options: TaskFileOptions) {
    const { header } = content
    this.taskId = header.taskId
    this.url = header.url
    this.generation = header.generation
    this.validator = header.validator
    this.held = content.held
    this.digests = content.digests
    this.#options = options
    this.#file = new Descriptor(content.descriptor)
    this.#journal = content.journal
    this.writeBack = new WriteBack(() => this.#sync())
    this.#layout = content.layout
    this.#path = content.path
    this.#completion = content.completion
    this.#tail = content.tail
  }

  /** `lengthBytes` is null until `seal()`. */
  get layout(): PieceLayout {
    return this.#layout
  }

  /** Where the content is now; `complete()` moves it. */
  get path(): string {
    return this.#path
  }

  get isComplete(): boolean {
    return this.#completion !== null
  }

  /** What is still to be written, rounded to pieces; 0 while the length is unknown. */
  get lackedBytes(): number {
    const { lengthBytes, pieceLength } = this.#layout
    return Math.max(0, (lengthBytes ?? 0) - this.held.count * pieceLength)
  }

  /** Of the whole content, where `complete()` was told or it was computed since. */
  get digest(): Digest | null {
    return this.#completion?.digest ?? this.#computedDigest
  }

  /** Whether neither `close()` nor `discard()` was called. */
  get isOpen(): boolean {
    return this.#fate === 'stay'
  }

  /**
   * Writes a piece that the caller has verified, with one positioned write; it is held once it is in the journal too. A piece that is
   * held already, or being written, is not written again; the second call shares the first one's fate. `bytes` must not change
   * meanwhile. While the length is unknown, a piece shorter than the piece length is the last one. `prefix` is its prefix digest, if known.
   * @throws DragonflyError DISK_FULL, DISK_ERROR; TASK_UNKNOWN after the end; PROTOCOL_INVALID for a piece beyond the last
   */
  async writePiece(
    index: number,
    bytes: Uint8Array,
    digest: Uint8Array,
    prefix: Uint8Array | null = null,
  ): Promise<void> {
    if (this.has(index)) return this.#writing.get(index)?.done
    this.#checkPiece(index, bytes.byteLength)
    const done = this.#change(() => this.#write(index, bytes, { digest, prefix }))
    this.#writing.set(index, { lengthBytes: bytes.byteLength, done })
    try {
      await done
    } finally {
      this.#writing.delete(index)
    }
  }

  /** Whether a piece is held, or being written. */
  has(index: number): boolean {
    return this.held.has(index) || this.#writing.has(index)
  }

  /**
   * One positioned read into the caller's buffer; returns the number of bytes. Fewer than asked only where the content ends or the
   * kernel says so; 0 only at or beyond the end of the content.
   * @throws DragonflyError PIECE_NOT_HELD; TASK_UNKNOWN after the end and the last lease; DISK_ERROR, also where somebody cut the
   *   file short, or has changed a complete one: looked at after the bytes were read, so that none is returned that is not ours
   */
  async read(into: Uint8Array, position: number): Promise<number> {
    const end = Math.min(position + into.byteLength, this.#knownEnd())
    if (end <= position) return 0
    if (!this.holdsRange(position, end)) {
      throw new DragonflyError('PIECE_NOT_HELD', `bytes ${position} to ${end} of the task are not here yet`)
    }
    if (this.#file.isClosed) this.#checkOpen()
    const count = await this.#file.use(async descriptor => {
      const readBytes = await readAt(descriptor, into, position)
      // Still within the use: once the last one has let go, the file can not be looked at any more.
      if (!this.isIntact) throw new DragonflyError('DISK_ERROR', `${this.#path} was changed by somebody else`)
      return readBytes
    })
    if (count === 0) throw new DragonflyError('DISK_ERROR', `${this.#path} is shorter than its pieces`)
    return Math.min(count, end - position)
  }

  /** Whether all bytes with `start ≤ position < end` are held. The empty range is. */
  holdsRange(start: number, end: number): boolean {
    if (start >= end) return true
    if (start < 0 || end > this.#knownEnd()) return false
    if (this.#completion) return true
    const { pieceLength } = this.#layout
    const last = Math.floor((end - 1) / pieceLength)
    for (let index = Math.floor(start / pieceLength); index <= last; index++) {
      if (!this.held.has(index)) return false
    }
    return true
  }

  /**
   * Sets the length of a task whose origin did not say it, and cuts the file to it. The same length again is fine.
   * @throws DragonflyError PROTOCOL_INVALID where the length contradicts the pieces held or an earlier length; DISK_FULL, DISK_ERROR;
   *   TASK_UNKNOWN after the end
   */
  async seal(lengthBytes: number): Promise<void> {
    if (this.#layout.lengthBytes === lengthBytes) return
    if (this.#sealing?.layout.lengthBytes === lengthBytes) return this.#sealing.done
    const layout = { lengthBytes, pieceLength: this.#layout.pieceLength }
    this.#checkLength(layout)
    const done = this.#change(() => this.#seal(layout))
    this.#sealing = { layout, done }
    try {
      await done
    } finally {
      this.#sealing = null
    }
  }

  /**
   * Publishes a task that holds all its pieces: synced, moved to its shared place, completion journalled. `digest` is the whole
   * content's, verified by the caller, or null. Calls join; after a failure the call may be repeated, but once a sync has failed every
   * further one fails too, because the kernel may have lost bytes: discard the task then.
   * @throws DragonflyError DISK_FULL, DISK_ERROR; TASK_UNKNOWN after the end
   */
  async complete(digest: Digest | null): Promise<void> {
    if (this.#completion) return
    assert(this.#layout.lengthBytes !== null, 'length is known')
    assert(this.held.isFull, 'all pieces are held')
    if (!this.#completing) {
      this.#completing = this.#change(() => this.#publish(digest)).finally(() => {
        this.#completing = null
      })
    }
    await this.#completing
  }

  /**
   * Digest of the whole content, by reading it where it is not known, once for all who ask meanwhile.
   * @throws the signal's reason; DragonflyError DISK_ERROR
   */
  async computeDigest(signal?: AbortSignal): Promise<Digest> {
    assert(this.#layout.lengthBytes !== null && this.held.isFull, 'all pieces are held')
    signal?.throwIfAborted()
    return this.digest ?? this.#digesting.join(signal)
  }

  /**
   * Whether a complete task's file is still the one that we finished; see Fingerprint for what that cannot see. A task that is not
   * complete counts as untouched.
   */
  async isUntouched(): Promise<boolean> {
    if (!this.#completion) return true
    const stats = await statPath(this.#path)
    return stats !== null && sameFingerprint(this.#completion.fingerprint, fingerprintOf(stats))
  }

  /** Whether the open file of a complete task is as we finished it: others may write to it by another name. False when it is closed. */
  get isIntact(): boolean {
    if (!this.#completion) return true
    return (
      !this.#file.isClosed && sameFingerprint(this.#completion.fingerprint, fingerprintOf(this.#file.stat()))
    )
  }

  /** Whether somebody has a lease, or reads or writes at this moment. */
  get isInUse(): boolean {
    return this.#file.isInUse
  }

  /**
   * Takes a lease: reads go on through `discard()` and `close()` until the returned function is called.
   * @throws DragonflyError TASK_UNKNOWN after the end
   */
  retain(): () => void {
    this.#checkOpen()
    return this.#file.retain()
  }

  /** Removes our names of content and record; other names of the content stay. Does nothing after `close()` has finished. */
  discard(): Promise<void> {
    this.#fate = 'discard'
    return this.#options.end(this)
  }

  /** Resolves when nothing is written any more; the descriptor closes with the last lease. */
  close(): Promise<void> {
    if (this.#fate === 'stay') this.#fate = 'close'
    return this.#options.end(this)
  }

  /** Carries out what `discard()` or `close()` asked for. Only for the store, which orders it among the task's other operations. */
  settle(): Promise<void> {
    this.#settled ??= this.#end()
    return this.#settled
  }

  async #end(): Promise<void> {
    assert(this.#fate !== 'stay', 'task file is to end')
    while (this.#busy.size > 0) await Promise.allSettled(this.#busy)
    await this.#journal.close()
    await this.#file.giveUp()
    if (this.#fate !== 'discard') return
    await removeFile(this.#path)
    await removeFile(this.#options.recordPath)
  }

  /** Runs what changes the task; the end waits for it. */
  async #change(action: () => Promise<void>): Promise<void> {
    this.#checkOpen()
    const running = action()
    this.#busy.add(running)
    try {
      await running
    } finally {
      this.#busy.delete(running)
    }
  }

  async #write(
    index: number,
    bytes: Uint8Array,
    { digest, prefix }: { digest: Uint8Array; prefix: Uint8Array | null },
  ): Promise<void> {
    assert(!this.#completion, 'a complete file is not written')
    const { pieceLength } = this.#layout
    const isTail = this.#layout.lengthBytes === null && bytes.byteLength < pieceLength
    if (isTail) this.#tail = { index, lengthBytes: bytes.byteLength }
    try {
      await this.#file.use(descriptor => writeAll(descriptor, bytes, index * pieceLength))
      await this.#journal.append(encodePiece(index, digest, prefix))
    } catch (error) {
      if (isTail) this.#tail = null
      throw error
    }
    if (index >= this.held.size) this.held.resize(index + 1)
    this.digests.set(index, digest, prefix)
    this.held.add(index)
    this.writeBack.wrote(bytes.byteLength)
  }

  async #seal(layout: PieceLayout): Promise<void> {
    const { lengthBytes } = layout
    assert(lengthBytes !== null, 'length is known')
    await this.#file.use(descriptor => truncateFile(descriptor, lengthBytes))
    await this.#journal.append(encodeLength(lengthBytes))
    this.#layout = layout
    this.#tail = null
    this.held.resize(pieceCount(layout))
  }

  async #publish(digest: Digest | null): Promise<void> {
    await this.writeBack.finish()
    const { sharedPath, recordPath } = this.#options
    if (this.#path !== sharedPath) {
      await renameFile(this.#path, sharedPath)
      this.#path = sharedPath
    }
    if (!isSmallContent(this.#layout)) await syncDirectories([sharedPath, recordPath])
    const fingerprint = fingerprintOf(await this.#file.use(statDescriptor))
    if (fingerprint.size !== this.#layout.lengthBytes) {
      throw new DragonflyError(
        'DISK_ERROR',
        `${sharedPath} has ${fingerprint.size} bytes, which is not the task's length`,
      )
    }
    const completion = { fingerprint, digest }
    await this.#journal.append(encodeCompletion(completion))
    this.#completion = completion
    await this.#journal.close()
  }

  async #computeDigest(signal: AbortSignal): Promise<Digest> {
    this.#computedDigest = digestOf(await hashContent(this, createHash('sha256'), signal))
    return this.#computedDigest
  }

  async #sync(): Promise<void> {
    const record = isSmallContent(this.#layout) ? null : this.#journal.sync()
    await Promise.all([this.#file.use(syncData), record])
  }

  #checkOpen(): void {
    if (this.#fate !== 'stay') throw new DragonflyError('TASK_UNKNOWN', 'the task was given up on this host')
  }

  #checkPiece(index: number, lengthBytes: number): void {
    const layout = this.#sealing?.layout ?? this.#layout
    checkPieceFits(index, lengthBytes, { layout, tail: this.#tail, countSoFar: this.#pieceCountSoFar() })
  }

  #checkLength(layout: PieceLayout): void {
    const end = this.#tail ? this.#knownEnd() : this.#pieceCountSoFar() * layout.pieceLength
    const isKnown = this.#layout.lengthBytes !== null || this.#sealing !== null
    const fits = isValidLayout(layout.lengthBytes, layout.pieceLength) && layout.lengthBytes! >= end
    if (isKnown || !fits || (this.#tail && layout.lengthBytes !== end)) {
      throw new DragonflyError(
        'PROTOCOL_INVALID',
        `a length of ${layout.lengthBytes} contradicts what is known of the task`,
      )
    }
  }

  /** One more than the highest index held or being written, while the length is unknown. */
  #pieceCountSoFar(): number {
    let count = this.held.size
    for (const index of this.#writing.keys()) count = Math.max(count, index + 1)
    return count
  }

  /** No byte of the content is at or beyond it. */
  #knownEnd(): number {
    if (this.#layout.lengthBytes !== null) return this.#layout.lengthBytes
    if (this.#tail) return this.#tail.index * this.#layout.pieceLength + this.#tail.lengthBytes
    return Number.POSITIVE_INFINITY
  }
}
