import type { ErrorCode } from '../core/error.ts'

/** How long a consumer does not ask a source that failed it: at first, and at most if it goes on failing. */
type Pause = { readonly leastMs: number; readonly mostMs: number }

const GONE_MS = 5_000
const BUSY_MS = 200
/** The seed is often the only source, so it is asked again soon at first; each failure in a row doubles the pause up to this. */
const SEED_MAX_MS = 5_000
const MAX_MS = 10 * 60_000
const FOR_EVER: Pause = { leastMs: Number.POSITIVE_INFINITY, mostMs: Number.POSITIVE_INFINITY }

/** @param isDenier the source has lacked more of what it claims to hold than can be a mistake */
export function pauseAfter(code: ErrorCode, source: { isSeed: boolean; isDenier: boolean }): Pause {
  if (code === 'SOURCE_BUSY') return { leastMs: BUSY_MS, mostMs: BUSY_MS }
  if (source.isSeed) return { leastMs: BUSY_MS, mostMs: SEED_MAX_MS }
  if (isAccusation(code) || source.isDenier) return FOR_EVER
  return { leastMs: isDenial(code) ? BUSY_MS : GONE_MS, mostMs: MAX_MS }
}

/** The source sent wrong bytes. */
export function isAccusation(code: ErrorCode): boolean {
  return code === 'DIGEST_MISMATCH' || code === 'PROTOCOL_INVALID'
}

/** The source does not hold what it is said to hold. */
export function isDenial(code: ErrorCode): boolean {
  return code === 'PIECE_NOT_HELD' || code === 'TASK_UNKNOWN'
}
