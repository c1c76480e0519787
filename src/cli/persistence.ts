import { sleep } from '../core/clock.ts'
import { formatExactDuration } from '../core/duration.ts'
import { DragonflyError, type ErrorCode } from '../core/error.ts'
import { jitter } from '../core/random.ts'
import { systemClock } from '../ops/system-clock.ts'
import { systemRandom } from '../ops/system-random.ts'

/** How long, and how often, a command tries. */
export type Patience = {
  /** For all tries together; null is none. */
  readonly timeoutMs: number | null
  readonly tries: number
  readonly signal: AbortSignal
}

/** Somebody should look at content that changes, and a stall has been waited for long enough. */
const FINAL: ReadonlySet<ErrorCode> = new Set(['ORIGIN_CHANGED', 'DOWNLOAD_STALLED'])
const PAUSE_MS = 500
const PAUSE_MS_MAX = 10_000

/**
 * Tries again after failures that may pass. A resident peer that was killed in the middle is one of them: it is started again, and what it
 * had verified is still there.
 * @throws DragonflyError CANCELLED, DOWNLOAD_TIMEOUT, or what the last try threw
 */
export async function persist<T>(
  patience: Patience,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { timeoutMs } = patience
  if (timeoutMs === null) return tryAgain(patience, attempt)
  const late = new AbortController()
  const cancel = systemClock.schedule(timeoutMs, () => late.abort())
  try {
    const signal = AbortSignal.any([patience.signal, late.signal])
    return await tryAgain({ ...patience, signal }, attempt)
  } catch (thrown) {
    if (!late.signal.aborted || patience.signal.aborted) throw thrown
    const said = `the download took longer than ${formatExactDuration(timeoutMs)}`
    throw new DragonflyError('DOWNLOAD_TIMEOUT', said, { cause: thrown })
  } finally {
    cancel()
  }
}

async function tryAgain<T>(
  { tries, signal }: Patience,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (let failed = 1; ; failed++) {
    try {
      signal.throwIfAborted()
      return await attempt(signal)
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

function interrupted(cause: unknown): DragonflyError {
  return new DragonflyError('CANCELLED', 'the command was interrupted', { cause })
}
