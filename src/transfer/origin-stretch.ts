import type { Content } from './content.ts'
import type { OriginMode } from './events.ts'
import type { Exchange } from './exchange.ts'
import type { OriginPermit } from './origin-permit.ts'
import { neededNext } from './reader.ts'

export type OriginStretch = {
  readonly mode: OriginMode
  readonly fromPiece: number
  /** Null is the end. */
  readonly untilPiece: number | null
}

/**
 * What to ask the origin for, null for nothing: only what nobody else offers or sends.
 * @param state `isStuck`: whether nothing has come for so long that what others offer does not count
 */
export function pickStretch(
  content: Content,
  exchange: Exchange,
  state: { isConfirmed: boolean; isStuck: boolean; permit: OriginPermit },
): OriginStretch | null {
  const { version, held, pieceCount, isFull } = content
  if (version === null) return { mode: 'fresh', fromPiece: 0, untilPiece: null }
  if (pieceCount === null) return { mode: 'resume', fromPiece: held.firstMissing(), untilPiece: null }
  if (isFull) return state.isConfirmed ? null : { mode: 'revalidate', fromPiece: 0, untilPiece: null }
  const { known, inFlight } = exchange
  const start = neededNext(content)?.start ?? state.permit.startIn(pieceCount)
  const range = { start, count: pieceCount }
  const gap = known.firstGap(held, range, piece => inFlight.isComing(piece))
  if (gap) return resume(gap, pieceCount)
  if (!state.isStuck || !inFlight.isAllLate) return null
  const from = held.firstMissing()
  return resume({ from, until: held.firstHeld(from) }, pieceCount)
}

/** Whether an answer with everything is better given up for one that begins where somebody reads, as far as the origin can do that. */
export function isWorthStartingElsewhere(content: Content): boolean {
  const { version, pieceCount } = content
  if (version === null || pieceCount === null || !neededNext(content)?.start) return false
  const { etag, lastModified } = version.validator
  // What comes from the middle must be proven to be of the same version (RFC 9110, section 13.1.5).
  return etag?.startsWith('"') || lastModified !== null
}

function resume({ from, until }: { from: number; until: number }, pieceCount: number): OriginStretch {
  return { mode: 'resume', fromPiece: from, untilPiece: until < pieceCount ? until : null }
}
