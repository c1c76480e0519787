import { jitter, type Random } from '../core/random.ts'
import type { DownloadEffect, OriginMode } from './events.ts'

type State = { state: 'idle' } | { state: 'open'; isFruitful: boolean } | { state: 'backoff'; until: number }

const BACKOFF_MS = 250
const BACKOFF_MAX_MS = 8_000

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

  /** Whether the open stream has brought a piece. */
  get isFruitful(): boolean {
    return this.#state.state === 'open' && this.#state.isFruitful
  }

  /** Whether a stream may be opened now. */
  isFree(now: number): boolean {
    return this.#state.state === 'idle' || (this.#state.state === 'backoff' && now >= this.#state.until)
  }

  open(mode: OriginMode, fromPiece: number, untilPiece: number | null): DownloadEffect {
    this.#state = { state: 'open', isFruitful: false }
    return { type: 'open-origin', mode, fromPiece, untilPiece }
  }

  progress(): void {
    this.#failures = 0
    if (this.#state.state === 'open') this.#state.isFruitful = true
  }

  end(): void {
    this.#state = { state: 'idle' }
  }

  /** Pauses. Returns false when there is no try left; the caller may go on trying all the same. */
  fail(now: number, random: Random): boolean {
    this.#failures++
    const pauseMs = Math.min(BACKOFF_MS * 2 ** this.#failures, BACKOFF_MAX_MS)
    this.#state = { state: 'backoff', until: now + jitter(random, pauseMs) }
    return this.#failures < this.#tries
  }
}
