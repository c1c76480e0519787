import { sleep } from '../core/clock.ts'
import { formatExactDuration } from '../core/duration.ts'
import { DragonflyError, type ErrorCode } from '../core/error.ts'
import { jitter } from '../core/random.ts'
import { systemClock } from '../ops/system-clock.ts'
import { systemRandom } from '../ops/system-random.ts'

/** How often a command tries. */
export type Patience = {
  readonly tries: number
  readonly signal: AbortSignal
}

/** Somebody should look at content that changes, and a stall has been waited for long enough. */
const FINAL: ReadonlySet<ErrorCode> = new Set(['ORIGIN_CHANGED', 'DOWNLOAD_STALLED'])
const PAUSE_MS = 500
const PAUSE_MS_MAX = 10_000

/**
 * Ends the action when its time is up.
 * @param timeoutMs null is no limit
 * @throws DragonflyError DOWNLOAD_TIMEOUT, or what the action threw
 */
export async function withinTime<T>(
  timeoutMs: number | null,
  outer: AbortSignal,
  action: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (timeoutMs === null) return action(outer)
  const late = new AbortController()
  const cancel = systemClock.schedule(timeoutMs, () => late.abort(interrupted()))
  try {
    return await action(AbortSignal.any([outer, late.signal]))
  } catch (thrown) {
    if (!late.signal.aborted || outer.aborted) throw thrown
    const said = `the download took longer than ${formatExactDuration(timeoutMs)}`
    throw new DragonflyError('DOWNLOAD_TIMEOUT', said, { cause: thrown })
  } finally {
    cancel()
  }
}

/**
 * Tries again after failures that may pass. A resident peer that was killed in the middle is one of them: it is started again, and what it
 * had verified is still there.
 * @throws DragonflyError CANCELLED, or what the last try threw
 */
export async function persist<T>({ tries, signal }: Patience, attempt: () => Promise<T>): Promise<T> {
  for (let failed = 1; ; failed++) {
    try {
      signal.throwIfAborted()
      return await attempt()
    } catch (thrown) {
      if (signal.aborted) throw interrupted(thrown)
      const mayPass = thrown instanceof DragonflyError && thrown.isRetryable && !FINAL.has(thrown.code)
      if (!mayPass || failed >= tries) throw thrown
    }
    await sleep(systemClock, pauseMs(failed), signal).catch(cause => {
      throw interrupted(cause)
    })
  }
}

/** Longer each time, and never in step with others who failed at the same moment. */
function pauseMs(failed: number): number {
  return jitter(systemRandom, Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** (failed - 1)))
}

/** The reason of every signal that a command is given, so that whoever waits may throw it as it is. */
export function interrupted(cause?: unknown): DragonflyError {
  return new DragonflyError('CANCELLED', 'the command was interrupted', { cause })
}
