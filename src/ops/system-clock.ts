import type { Clock } from '../core/clock.ts'

/** Node fires a longer timer at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** The machine's clock; the only place that touches timers and dates. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  schedule(delayMs, action) {
    if (delayMs > TIMER_MS_MAX) {
      let cancel = systemClock.schedule(TIMER_MS_MAX, () => {
        cancel = systemClock.schedule(delayMs - TIMER_MS_MAX, action)
      })
      return () => cancel()
    }
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
}

/** `2026-11-22 11:15:22`, in local time, of milliseconds since the Unix epoch. */
export function calendarTime(wallMs: number): string {
  const date = new Date(wallMs)
  const two = (part: number) => String(part).padStart(2, '0')
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-')
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`
}

/** For libraries that take dates. */
export function dateOf(wallMs: number): Date {
  return new Date(wallMs)
}
