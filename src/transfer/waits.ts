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

  switchTo(reason: WaitReason | null, now: number): void {
    if (reason === this.#reason) return
    this.#account(now)
    this.#reason = reason
  }

  /** Whole milliseconds per reason up to `now`. */
  totals(now: number): Partial<Record<WaitReason, number>> {
    this.#account(now)
    return Object.fromEntries(
      Object.entries(this.#totals)
        .map(([reason, ms]) => [reason, Math.round(ms)] as const)
        .filter(([, ms]) => ms > 0),
    )
  }

  #account(now: number): void {
    if (this.#reason !== null)
      this.#totals[this.#reason] = (this.#totals[this.#reason] ?? 0) + now - this.#since
    this.#since = now
  }
}
