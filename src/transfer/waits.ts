import type { WaitReason } from './events.ts'

/** Adds up how long a download waited, by reason. */
export class Waits {
  readonly #totals: Partial<Record<WaitReason, number>> = {}
  #reason: WaitReason | null
  #since: number

  constructor(reason: WaitReason | null, now: number) {
    this.#reason = reason
    this.#since = now
  }

  get reason(): WaitReason | null {
    return this.#reason
  }

  /** Called after each event, also where the reason stays the same. */
  switchTo(reason: WaitReason | null, now: number): void {
    if (this.#reason !== null) {
      this.#totals[this.#reason] = (this.#totals[this.#reason] ?? 0) + now - this.#since
    }
    this.#since = now
    this.#reason = reason
  }

  /** Whole milliseconds per reason up to the last event. */
  totals(): Partial<Record<WaitReason, number>> {
    return Object.fromEntries(
      Object.entries(this.#totals)
        .map(([reason, ms]) => [reason, Math.round(ms)] as const)
        .filter(([, ms]) => ms > 0),
    )
  }
}
