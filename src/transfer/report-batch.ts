import type { ErrorCode } from '../core/error.ts'
import type { PieceFrom } from './events.ts'

/** What the supernode has not been told yet. */
export type ReportBatch = {
  done: (PieceFrom & { elapsedMs: number })[]
  failed: (PieceFrom & { code: ErrorCode })[]
  released: PieceFrom[]
  slow: number[]
  fromOrigin: number[]
}

export function emptyReport(): ReportBatch {
  return { done: [], failed: [], released: [], slow: [], fromOrigin: [] }
}

export function isEmptyReport(report: ReportBatch): boolean {
  return Object.values(report).every(list => list.length === 0)
}
