import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import { formatRateLimit } from '../core/rate.ts'
import type { TaskLimiter } from '../net/task-limiter.ts'
import { type Moment, RateFloor } from '../transfer/rate-floor.ts'
import type { DownloadRun } from './download-run.ts'

const BUSY_OTHERWISE: ReadonlySet<string> = new Set(['preparing', 'verifying', 'complete', 'failed'])

/** Whether a run is fast enough for one of those who wait for it. `look` is to be called several times a second. */
export function watchRate(
  run: DownloadRun,
  limiter: TaskLimiter,
  { clock, minRate }: { clock: Clock; minRate: number | null },
): { look(): void; readonly tooSlow: Promise<never> } {
  const { promise: tooSlow, reject } = Promise.withResolvers<never>()
  // Who waits for the run may be gone by then.
  tooSlow.catch(() => {})
  const moment = (): Moment => ({
    now: clock.now(),
    bytes: limiter.receivedBytes,
    heldMs: limiter.heldMs,
    isReceiving: !BUSY_OTHERWISE.has(run.snapshot().phase),
  })
  const floor = minRate === null ? null : new RateFloor(minRate, moment())
  const look = () => {
    if (minRate === null || !floor?.isBelow(moment())) return
    const message = `less than ${formatRateLimit(minRate)}/s came for a minute`
    reject(new DragonflyError('DOWNLOAD_SLOW', message))
  }
  return { look, tooSlow }
}
