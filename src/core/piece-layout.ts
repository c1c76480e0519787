import { assert } from './assert.ts'
import type { ByteRange } from './byte-range.ts'

const MIB = 1024 ** 2

/** How a task is cut into pieces. `lengthBytes` is null while the origin has not said it. */
export type PieceLayout = { readonly lengthBytes: number | null; readonly pieceLength: number }

export const PIECE_LENGTH_MIN = MIB
export const PIECE_LENGTH_MAX = 64 * MIB
/** Fewer pieces cost less, as each costs some 300 µs of handling on both sides, and so many are enough for a swarm. */
const PIECE_COUNT_ENOUGH = 256
/** Up to this length a piece may grow for the sake of fewer pieces. */
const PIECE_LENGTH_HANDY = 4 * MIB
const PIECE_COUNT_AIM = 1024
const PIECE_LENGTH_UNKNOWN = 4 * MIB

/** No task has more pieces: 64 MiB × 65 536 is 4 TiB, 4 MiB × 65 536 of unknown length is 256 GiB. */
export const PIECE_COUNT_MAX = 65_536

/**
 * A power of two from 1 MiB: up to 4 MiB such that there are at most 256 pieces, beyond such that there are at most 1024, which 16 MiB
 * does up to 16 GiB; never more than 64 MiB.
 */
export function choosePieceLength(lengthBytes: number | null): number {
  if (lengthBytes === null) return PIECE_LENGTH_UNKNOWN
  let pieceLength = PIECE_LENGTH_MIN
  while (pieceLength < PIECE_LENGTH_HANDY && lengthBytes > pieceLength * PIECE_COUNT_ENOUGH) pieceLength *= 2
  while (pieceLength < PIECE_LENGTH_MAX && lengthBytes > pieceLength * PIECE_COUNT_AIM) pieceLength *= 2
  return pieceLength
}

export function layoutFor(lengthBytes: number | null): PieceLayout {
  return { lengthBytes, pieceLength: choosePieceLength(lengthBytes) }
}

/** Number of pieces; 0 for an empty task. The length must be known. */
export function pieceCount(layout: PieceLayout): number {
  assert(layout.lengthBytes !== null, 'length is known')
  return Math.ceil(layout.lengthBytes / layout.pieceLength)
}

/** Bytes of piece `index`; the last piece of a task of known length is clipped. */
export function pieceRange(layout: PieceLayout, index: number): ByteRange {
  const start = index * layout.pieceLength
  const end = start + layout.pieceLength
  if (layout.lengthBytes === null) return { start, end }
  assert(start >= 0 && start < layout.lengthBytes, 'piece index < piece count')
  return { start, end: Math.min(end, layout.lengthBytes) }
}

export function pieceBytes(layout: PieceLayout, index: number): number {
  const range = pieceRange(layout, index)
  return range.end - range.start
}

/** Rejects layouts from outside that no honest side would send. */
export function isValidLayout(lengthBytes: unknown, pieceLength: unknown): boolean {
  if (typeof pieceLength !== 'number' || !Number.isInteger(pieceLength)) return false
  if (pieceLength < 1 || pieceLength > PIECE_LENGTH_MAX) return false
  if (lengthBytes === null) return true
  if (typeof lengthBytes !== 'number' || !Number.isSafeInteger(lengthBytes) || lengthBytes < 0) return false
  return lengthBytes <= pieceLength * PIECE_COUNT_MAX
}
