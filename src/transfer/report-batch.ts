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
  const { done, failed, released, slow, fromOrigin } = report
  return done.length + failed.length + released.length + slow.length + fromOrigin.length === 0
}
