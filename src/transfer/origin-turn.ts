import { jitter, type Random } from '../core/random.ts'
import type { DownloadStart } from './download-options.ts'
import type { DownloadEffect } from './events.ts'
import { OriginPermit } from './origin-permit.ts'
import type { OriginStretch } from './origin-stretch.ts'

type State =
  | { state: 'idle' }
  | { state: 'open'; stretch: OriginStretch; isFruitful: boolean }
  | { state: 'backoff'; until: number }

const BACKOFF_MS = 250
const BACKOFF_MAX_MS = 8_000

/** Reading from the origin: one stream at a time, a few tries with growing pauses. */
export class OriginTurn {
  readonly permit: OriginPermit
  /** Without a new piece in between. */
  readonly #tries: number
  readonly #emit: (effect: DownloadEffect) => void
  #state: State = { state: 'idle' }
  #failures = 0

  constructor(
    { mayReadOrigin = true, limits, random }: DownloadStart,
    emit: (effect: DownloadEffect) => void,
  ) {
    this.permit = new OriginPermit(mayReadOrigin, random)
    this.#tries = limits.originTries
    this.#emit = emit
  }

  get isOpen(): boolean {
    return this.#state.state === 'open'
  }

  get isBackingOff(): boolean {
    return this.#state.state === 'backoff'
  }

  /** Whether everything was asked for, before anything was known of it. */
  get isFresh(): boolean {
    return this.#state.state === 'open' && this.#state.stretch.mode === 'fresh'
  }

  /** Whether the open stream has brought a piece. */
  get isFruitful(): boolean {
    return this.#state.state === 'open' && this.#state.isFruitful
  }

  /**
   * Whether a stream may be opened now.
   * @param heldAt when something new last came
   */
  isFree(now: number, heldAt: number): boolean {
    const isIdle = this.#state.state === 'idle'
    const isRested = this.#state.state === 'backoff' && now >= this.#state.until
    return (isIdle || isRested) && this.permit.isDue(now - heldAt)
  }

  open(stretch: OriginStretch): void {
    this.#state = { state: 'open', stretch, isFruitful: false }
    this.#emit({ type: 'open-origin', ...stretch })
  }

  /** Ends the stream if there is one. */
  close(): void {
    if (this.isOpen) this.#emit({ type: 'close-origin' })
    this.end()
  }

  progress(): void {
    this.#failures = 0
    if (this.#state.state === 'open') this.#state.isFruitful = true
  }

  /** The stream has ended by itself. */
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
