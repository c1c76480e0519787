import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'

const WINDOW_MS = 10_000
const REFUSALS_MAX = 20
const ADDRESSES_MAX = 10_000

/**
 * Who was refused too often of late waits, and costs the database nothing meanwhile. Nobody guesses 256 bits; this is so that nobody
 * keeps the managing node busy by trying.
 */
export class RefusalLimit {
  readonly #clock: Clock
  readonly #refused = new Map<string, { count: number; readonly sinceMs: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @throws DragonflyError MANAGER_OVERLOADED; what the check throws */
  async check<T>(address: string, check: () => Promise<T>): Promise<T> {
    const before = this.#current(address)
    if (before !== undefined && before.count >= REFUSALS_MAX)
      throw new DragonflyError('MANAGER_OVERLOADED', 'this address was refused too often')
    try {
      return await check()
    } catch (thrown) {
      if (thrown instanceof DragonflyError && thrown.code.startsWith('CREDENTIAL_')) this.#count(address)
      throw thrown
    }
  }

  #current(address: string): { count: number } | undefined {
    const refused = this.#refused.get(address)
    if (refused === undefined || this.#clock.now() - refused.sinceMs < WINDOW_MS) return refused
    this.#refused.delete(address)
    return undefined
  }

  #count(address: string): void {
    const refused = this.#current(address)
    if (refused !== undefined) {
      refused.count++
      return
    }
    const [oldest] = this.#refused.keys()
    if (this.#refused.size >= ADDRESSES_MAX) this.#refused.delete(oldest)
    this.#refused.set(address, { count: 1, sinceMs: this.#clock.now() })
  }
}
