import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import { formatRateLimit } from '../core/rate.ts'
import type { TaskLimiter } from '../net/task-limiter.ts'
import { type Moment, RateFloor } from '../transfer/rate-floor.ts'
import type { DownloadRun } from './download-run.ts'

const BUSY_OTHERWISE: ReadonlySet<string> = new Set(['preparing', 'verifying', 'complete', 'failed'])

type Watched = { readonly run: DownloadRun; readonly limiter: TaskLimiter }

/**
 * Whether what runs for a command is fast enough for it. `look` is to be called several times a second.
 * @param minRate bytes per second; null is any
 */
export function watchRate(
  watched: Watched,
  minRate: number | null,
  clock: Clock,
): { look(): void; readonly tooSlow: Promise<never> } {
  const { promise: tooSlow, reject } = Promise.withResolvers<never>()
  // Who waits for the run may be gone by then.
  tooSlow.catch(() => {})
  let { limiter } = watched
  const moment = (): Moment => ({
    now: clock.now(),
    bytes: limiter.receivedBytes,
    heldMs: limiter.heldMs,
    isReceiving: !BUSY_OTHERWISE.has(watched.run.snapshot().phase),
  })
  let floor = minRate === null ? null : new RateFloor(minRate, moment())
  const look = () => {
    if (minRate === null) return
    if (limiter !== watched.limiter) {
      limiter = watched.limiter
      floor = new RateFloor(minRate, moment())
    }
    if (!floor?.isBelow(moment())) return
    const message = `less than ${formatRateLimit(minRate)}/s came for a minute`
    reject(new DragonflyError('DOWNLOAD_SLOW', message))
  }
  return { look, tooSlow }
}
