import type { Clock } from '../../src/core/clock.ts'
import { systemClock } from '../../src/ops/system-clock.ts'

/** The machine's clock, except that it can be moved on: what falls due on the way then happens at once, in order. */
export class MovedClock implements Clock {
  #offsetMs = 0
  readonly #timers = new Set<{ dueMs: number; run: () => void }>()

  now(): number {
    return systemClock.now() + this.#offsetMs
  }

  wallNow(): number {
    return systemClock.wallNow() + this.#offsetMs
  }

  schedule(delayMs: number, action: () => void): () => void {
    const timer = { dueMs: this.now() + delayMs, run: () => {} }
    const cancel = systemClock.schedule(delayMs, () => timer.run())
    timer.run = () => {
      cancel()
      this.#timers.delete(timer)
      action()
    }
    this.#timers.add(timer)
    return () => {
      cancel()
      this.#timers.delete(timer)
    }
  }

  get timerCount(): number {
    return this.#timers.size
  }

  moveOn(ms: number): void {
    this.#offsetMs += ms
    const due = [...this.#timers].filter(timer => timer.dueMs <= this.now())
    for (const timer of due.sort((a, b) => a.dueMs - b.dueMs)) if (this.#timers.has(timer)) timer.run()
  }
}
