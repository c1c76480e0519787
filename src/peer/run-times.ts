import type { WaitReason } from '../transfer/events.ts'

/**
 * What a run's time went to: what nothing but waiting was done for (`WaitReason`), or pieces were asked for and no source had begun to
 * send (slot), all of them were late (slow), the process stood still (standstill), or bytes came (transfer).
 */
export type TimeReason = WaitReason | 'slot' | 'slow' | 'standstill' | 'transfer'

/** In the order in which they are shown where they are equal. */
export const TIME_REASONS: readonly TimeReason[] = [
  'transfer',
  'supernode',
  'layout',
  'schedule',
  'slot',
  'slow',
  'origin',
  'backoff',
  'disk',
  'digest',
  'standstill',
]

/** Each moment of a run belongs to one reason, so that all of them together are the whole. */
export class RunTimes {
  readonly #totals = new Map<TimeReason, number>()
  #reason: TimeReason
  #since: number

  constructor(reason: TimeReason, now: number) {
    this.#reason = reason
    this.#since = now
  }

  get since(): number {
    return this.#since
  }

  /** What has passed since the last call belongs to the reason until now, save for `lostMs` of it, in which nothing ran. */
  switchTo(reason: TimeReason, now: number, lostMs = 0): void {
    const passedMs = Math.max(0, now - this.#since)
    const lost = Math.min(lostMs, passedMs)
    this.#add(this.#reason, passedMs - lost)
    this.#add('standstill', lost)
    this.#since += passedMs
    this.#reason = reason
  }

  /** Whole milliseconds, which add up to `durationMs`. */
  totals(now: number): { durationMs: number; timeMs: Partial<Record<TimeReason, number>> } {
    this.switchTo(this.#reason, now)
    const timeMs: Partial<Record<TimeReason, number>> = {}
    let exact = 0
    let told = 0
    for (const reason of TIME_REASONS) {
      exact += this.#totals.get(reason) ?? 0
      const ms = Math.round(exact) - told
      if (ms > 0) timeMs[reason] = ms
      told += ms
    }
    return { durationMs: told, timeMs }
  }

  #add(reason: TimeReason, ms: number): void {
    if (ms > 0) this.#totals.set(reason, (this.#totals.get(reason) ?? 0) + ms)
  }
}
