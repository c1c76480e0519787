import type { Content } from './content.ts'

/** Somebody reads the content while it comes: of what is missing from this byte on, so many pieces are needed first. */
export type Reader = { readonly lookAhead: number; readonly fromByte: number }

/** Pieces with `start ≤ piece < end`. */
type PieceSpan = { readonly start: number; readonly end: number }

/**
 * What a reader needs next who began further on than at the first byte: from the first missing piece after that place on, and once there is
 * none, from the first of all. Null where there is no such reader: of many who all read from the first byte, each takes other pieces
 * first, so that they have something to give.
 */
export function neededNext({ reader, version, held, pieceCount }: Content): PieceSpan | null {
  if (reader === null || reader.fromByte === 0 || version === null) return null
  const ahead = held.firstMissing(Math.floor(reader.fromByte / version.layout.pieceLength))
  const start = ahead < (pieceCount ?? held.size) ? ahead : held.firstMissing()
  return { start, end: start + reader.lookAhead }
}
