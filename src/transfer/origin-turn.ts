import { jitter, type Random } from '../core/random.ts'
import type { DownloadEffect, OriginMode } from './events.ts'

type State = { state: 'idle' } | { state: 'open' } | { state: 'backoff'; until: number }

const BACKOFF_MS = 250

/** Reading from the origin: one stream at a time, a few tries with growing pauses. */
export class OriginTurn {
  readonly #tries: number
  #state: State = { state: 'idle' }
  #failures = 0

  /** @param tries without a new piece in between */
  constructor(tries: number) {
    this.#tries = tries
  }

  get isOpen(): boolean {
    return this.#state.state === 'open'
  }

  get isBackingOff(): boolean {
    return this.#state.state === 'backoff'
  }

  /** Whether a stream may be opened now. */
  isFree(now: number): boolean {
    return this.#state.state === 'idle' || (this.#state.state === 'backoff' && now >= this.#state.until)
  }

  open(mode: OriginMode, fromPiece: number, untilPiece: number | null): DownloadEffect {
    this.#state = { state: 'open' }
    return { type: 'open-origin', mode, fromPiece, untilPiece }
  }

  progress(): void {
    this.#failures = 0
  }

  end(): void {
    this.#state = { state: 'idle' }
  }

  /** Returns false when there is no try left. */
  fail(now: number, random: Random): boolean {
    this.#failures++
    this.#state = { state: 'idle' }
    if (this.#failures >= this.#tries) return false
    this.#state = { state: 'backoff', until: now + jitter(random, BACKOFF_MS * 2 ** this.#failures) }
    return true
  }
}
