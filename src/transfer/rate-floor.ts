import { STANDSTILL_MS } from './lived-time.ts'

const MINUTE_MS = 60_000

/** What a look at a download shows. */
export type Moment = {
  readonly now: number
  /** Received so far. */
  readonly bytes: number
  /** For how long a rate limit has held back what was there. */
  readonly heldMs: number
  /** Whether it waits for bytes, and not for the disk or a digest. */
  readonly isReceiving: boolean
}

/**
 * The least rate that is worth waiting for, as curl's `--speed-limit`: below it for a whole minute, and the download is given up. Time in
 * which a limit is what holds it does not count, nor does time in which there is nothing to receive.
 */
export class RateFloor {
  readonly #bytesPerMinute: number
  #last: Moment
  #elapsedMs = 0
  #bytes = 0

  /** @param minRate bytes per second */
  constructor(minRate: number, start: Moment) {
    this.#bytesPerMinute = minRate * (MINUTE_MS / 1000)
    this.#last = start
  }

  /** To be asked several times a second. */
  isBelow(moment: Moment): boolean {
    const last = this.#last
    this.#last = moment
    this.#bytes += moment.bytes - last.bytes
    if (moment.isReceiving) {
      const passedMs = Math.min(moment.now - last.now, STANDSTILL_MS)
      this.#elapsedMs += Math.max(0, passedMs - (moment.heldMs - last.heldMs))
    }
    if (this.#elapsedMs < MINUTE_MS) return false
    const isBelow = this.#bytes < this.#bytesPerMinute
    this.#elapsedMs = 0
    this.#bytes = 0
    return isBelow
  }
}
