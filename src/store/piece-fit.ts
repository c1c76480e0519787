import { assert } from '../core/assert.ts'
import { DragonflyError } from '../core/error.ts'
import { PIECE_COUNT_MAX, type PieceLayout, pieceBytes, pieceCount } from '../core/piece-layout.ts'
import type { Tail } from './task-content.ts'

/** What is known of a task that is being written. */
type Known = {
  readonly layout: PieceLayout
  readonly tail: Tail | null
  /** One more than the highest index held or being written, while the length is unknown. */
  readonly countSoFar: number
}

/**
 * Whether a piece of `lengthBytes` can be the task's at that index. While the length is unknown a short piece is the last one.
 * @throws DragonflyError PROTOCOL_INVALID for a piece beyond the last, or a last one before others
 */
export function checkPieceFits(
  index: number,
  lengthBytes: number,
  { layout, tail, countSoFar }: Known,
): void {
  assert(Number.isInteger(index) && index >= 0 && index < PIECE_COUNT_MAX, 'piece index is in range')
  if (layout.lengthBytes !== null) {
    assert(index < pieceCount(layout), 'piece index < piece count')
    assert(lengthBytes === pieceBytes(layout, index), 'piece has its length')
    return
  }
  assert(lengthBytes > 0 && lengthBytes <= layout.pieceLength, 'piece has at most the piece length')
  const isAfterTail = tail !== null && index > tail.index
  const isEarlyTail = lengthBytes < layout.pieceLength && index < countSoFar
  if (isAfterTail || isEarlyTail) {
    throw new DragonflyError(
      'PROTOCOL_INVALID',
      `piece ${index} is beyond a short piece, or is one before the end`,
    )
  }
}
