import { createHash, type Hash } from 'node:crypto'
import { assert } from '../core/assert.ts'
import { sameBytes } from '../core/digest.ts'
import { DragonflyError } from '../core/error.ts'
import { type PieceLayout, pieceBytes } from '../core/piece-layout.ts'
import type { BufferPool } from '../net/buffer-pool.ts'
import type { Limiter } from '../net/rate-limiter.ts'
import type { OriginBody } from '../origin/origin.ts'
import type { TaskFile } from '../store/task-file.ts'

/** Pieces being written while the next one is received. */
const WRITES_MAX = 3

export type PumpOptions = {
  readonly body: OriginBody
  readonly file: TaskFile
  readonly buffers: BufferPool
  /** What the bytes count against. */
  readonly limiter: Limiter
  readonly signal: AbortSignal
  /** First piece of the body. */
  readonly fromPiece: number
  /** Piece before which to stop; null is the end of the body. */
  readonly untilPiece: number | null
  /** Digest that a piece must have because somebody already relies on it. */
  expectedDigest(piece: number): Uint8Array | null
  /** Sees all payload in order. */
  onBytes(bytes: Uint8Array): void
  /** SHA-256 of the content up to where the payload has come, where that is known. */
  prefixDigest(): Uint8Array | null
  /** The body ended where no length had been announced. */
  onLength(lengthBytes: number): void | Promise<void>
  onPiece(piece: number, digest: Uint8Array, bytes: number): void
}

/**
 * Cuts an origin's body into pieces, hashes and stores them. A piece that is held already is received again only from origins that
 * cannot resume, and must then be the same.
 * @throws DragonflyError ORIGIN_*, DISK_*, CANCELLED
 */
export async function pumpOrigin(options: PumpOptions): Promise<void> {
  const writes = new Writes()
  try {
    await receiveAll(options, writes)
  } finally {
    await writes.settled()
  }
  writes.throwIfFailed()
}

async function receiveAll(options: PumpOptions, writes: Writes): Promise<void> {
  const { file, buffers, signal } = options
  for (let piece = options.fromPiece; piece !== options.untilPiece; piece++) {
    if (isBeyondEnd(file.layout, piece)) return confirmEnd(options)
    const buffer = await buffers.acquire(file.layout.pieceLength, signal)
    let write: Promise<void> | null = null
    try {
      const received = await receivePiece(options, piece, buffer)
      if (received.isEnd && file.layout.lengthBytes === null) {
        await options.onLength(piece * file.layout.pieceLength + received.bytes.length)
      }
      if (received.bytes.length > 0) write = storePiece(options, piece, received)
      if (received.isEnd) return
    } finally {
      if (write) writes.add(write.finally(() => buffers.release(buffer)))
      else buffers.release(buffer)
    }
    await writes.belowLimit()
    writes.throwIfFailed()
  }
}

/** The writes under way; the first failure is kept for whoever asks. */
class Writes {
  readonly #pending = new Set<Promise<void>>()
  #failure: unknown = null

  add(write: Promise<void>): void {
    const settled: Promise<void> = write
      .catch(thrown => {
        this.#failure ??= thrown
      })
      .finally(() => this.#pending.delete(settled))
    this.#pending.add(settled)
  }

  async belowLimit(): Promise<void> {
    if (this.#pending.size >= WRITES_MAX) await Promise.race(this.#pending)
  }

  async settled(): Promise<void> {
    await Promise.all(this.#pending)
  }

  throwIfFailed(): void {
    if (this.#failure) throw this.#failure
  }
}

type ReceivedPiece = { bytes: Uint8Array; digest: Uint8Array; prefix: Uint8Array | null; isEnd: boolean }

async function receivePiece(options: PumpOptions, piece: number, buffer: Uint8Array): Promise<ReceivedPiece> {
  const { limiter, signal } = options
  const { layout } = options.file
  const wanted = layout.lengthBytes === null ? layout.pieceLength : pieceBytes(layout, piece)
  const hash: Hash = createHash('sha256')
  let length = 0
  let isEnd = false
  let hashedBytes = 0
  const take = (fresh: Uint8Array) => {
    hash.update(fresh)
    hashedBytes += fresh.length
    options.onBytes(fresh)
  }
  while (length < wanted && !isEnd) {
    const end = limiter.isLimited ? Math.min(wanted, length + limiter.sliceBytes(wanted)) : wanted
    const count = await options.body.read(buffer.subarray(length, end), take)
    signal.throwIfAborted()
    length += count
    isEnd = count === 0
    const turn = limiter.take(count, signal)
    if (turn) await turn
  }
  assert(hashedBytes === length, 'the body shows all that it gives')
  if (isEnd && layout.lengthBytes !== null) {
    throw new DragonflyError('ORIGIN_TRUNCATED', 'the origin sent less than it announced')
  }
  const bytes = buffer.subarray(0, length)
  return { bytes, digest: hash.digest(), prefix: options.prefixDigest(), isEnd }
}

async function storePiece(options: PumpOptions, piece: number, received: ReceivedPiece): Promise<void> {
  const expected = options.expectedDigest(piece)
  if (expected && !sameBytes(expected, received.digest)) {
    throw new DragonflyError('ORIGIN_CHANGED', 'the origin sent other bytes than before for the same version')
  }
  const isNew = !options.file.held.has(piece)
  await options.file.writePiece(piece, received.bytes, received.digest, received.prefix)
  if (isNew) options.onPiece(piece, received.digest, received.bytes.length)
}

function isBeyondEnd(layout: PieceLayout, piece: number): boolean {
  return layout.lengthBytes !== null && piece * layout.pieceLength >= layout.lengthBytes
}

/** The announced length is there; a body that goes on has lied about it. */
async function confirmEnd(options: PumpOptions): Promise<void> {
  const surplus = await options.body.read(new Uint8Array(1))
  if (surplus > 0) throw new DragonflyError('ORIGIN_CHANGED', 'the origin sent more than it announced')
}
