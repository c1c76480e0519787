import type { Clock } from '../core/clock.ts'
import type { Log } from '../ops/log.ts'

const PERIOD_MS = 60_000
const KEPT_MAX = 1024

/** Who sends what nobody can answer is logged once a minute for each kind of it, however much comes. */
export class InvalidRequests {
  readonly #clock: Clock
  readonly #log: Log
  readonly #loggedAtMs = new Map<string, number>()

  constructor({ clock, log }: { clock: Clock; log: Log }) {
    this.#clock = clock
    this.#log = log
  }

  note(address: string | undefined, what: string): void {
    const key = `${address} ${what}`
    const nowMs = this.#clock.now()
    const loggedAtMs = this.#loggedAtMs.get(key)
    if (loggedAtMs !== undefined && nowMs - loggedAtMs < PERIOD_MS) return
    this.#loggedAtMs.delete(key)
    if (this.#loggedAtMs.size >= KEPT_MAX) this.#loggedAtMs.delete(this.#loggedAtMs.keys().next().value!)
    this.#loggedAtMs.set(key, nowMs)
    this.#log.warn({ address, what }, 'invalid request refused')
  }
}
