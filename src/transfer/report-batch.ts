import type { ErrorCode } from '../core/error.ts'
import type { PieceFrom } from './events.ts'
import type { Reader } from './reader.ts'

/** What the supernode has not been told yet. */
export type ReportBatch = {
  done: (PieceFrom & { elapsedMs: number })[]
  failed: (PieceFrom & { code: ErrorCode })[]
  released: PieceFrom[]
  slow: number[]
  fromOrigin: number[]
  /** Somebody reads from elsewhere than before. */
  reader: Reader | null
}

export function emptyReport(): ReportBatch {
  return { done: [], failed: [], released: [], slow: [], fromOrigin: [], reader: null }
}

export function isEmptyReport(report: ReportBatch): boolean {
  const { done, failed, released, slow, fromOrigin, reader } = report
  const entries = done.length + failed.length + released.length + slow.length + fromOrigin.length
  return entries === 0 && reader === null
}
