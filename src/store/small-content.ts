import type { PieceLayout } from '../core/piece-layout.ts'

const SMALL_BYTES_MAX = 64 * 1024

/**
 * Whether content is sooner fetched again, should power fail in the next seconds, than its names and its record are synced each time.
 * Its bytes are synced all the same, before they get the name that says they are complete.
 */
export function isSmallContent({ lengthBytes }: PieceLayout): boolean {
  return lengthBytes !== null && lengthBytes <= SMALL_BYTES_MAX
}
