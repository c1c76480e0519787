import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'

const HELLO_MS = 10_000
const PER_ADDRESS_MAX = 256

/** Channels on which no hello has come yet: a limited number per remote address, each for a limited time. */
export class NamelessChannels {
  readonly #clock: Clock
  readonly #counts = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * @param refuse called at once where there are too many, or when no hello has come in time
   * @returns to be called when it has said hello, and when it has closed
   */
  add(address: string, refuse: (error: DragonflyError) => void): () => void {
    this.#count(address, 1)
    const cancel = this.#clock.schedule(HELLO_MS, () => {
      refuse(new DragonflyError('PROTOCOL_INVALID', `no hello came within ${HELLO_MS / 1000} s`))
    })
    if (this.#counts.get(address)! > PER_ADDRESS_MAX) {
      refuse(
        new DragonflyError(
          'SUPERNODE_OVERLOADED',
          `${PER_ADDRESS_MAX} channels of one address wait for hello`,
        ),
      )
    }
    let isCounted = true
    return () => {
      if (!isCounted) return
      isCounted = false
      cancel()
      this.#count(address, -1)
    }
  }

  #count(address: string, change: number): void {
    const count = (this.#counts.get(address) ?? 0) + change
    if (count > 0) this.#counts.set(address, count)
    else this.#counts.delete(address)
  }
}
