import { jitter, type Random } from '../core/random.ts'

/** What a download thinks of its supernode. */

type State =
  | { state: 'none' }
  | { state: 'joining'; since: number }
  | { state: 'joined'; heardAt: number; resyncedAt: number }
  /** `announceAt`: when it is worth announcing to, where the channel is open still. */
  | { state: 'lost'; aloneAt: number; wasSilent: boolean; announceAt: number }

const PAUSE_MS = 1_000
const PAUSE_MAX_MS = 30_000
const NEVER = Number.POSITIVE_INFINITY

export class SupernodeView {
  #state: State
  #isDismissed = false
  #refusals = 0

  constructor(hasSupernode: boolean, now: number) {
    this.#state = hasSupernode ? { state: 'joining', since: now } : { state: 'none' }
  }

  get isJoining(): boolean {
    return this.#state.state === 'joining'
  }

  get isJoined(): boolean {
    return this.#state.state === 'joined'
  }

  /** Gone, but it may come back. */
  get isLost(): boolean {
    return this.#state.state === 'lost'
  }

  /** It serves another version: what it says is about something else. */
  get isDismissed(): boolean {
    return this.#isDismissed
  }

  /** Whether it is not awaited any more. */
  isAlone(now: number): boolean {
    if (this.#state.state === 'lost') return now >= this.#state.aloneAt
    return this.#state.state === 'none'
  }

  /** Lost or never there: nobody else watches over the progress. */
  get isAbsent(): boolean {
    return this.#state.state === 'lost' || this.#state.state === 'none'
  }

  join(now: number): void {
    this.#state = { state: 'joined', heardAt: now, resyncedAt: now }
    this.#isDismissed = false
  }

  hear(now: number): void {
    if (this.#state.state === 'joined') this.#state.heardAt = now
    if (this.#state.state === 'joining') this.#state.since = now
    if (this.#state.state === 'lost' && this.#state.wasSilent) this.#state.announceAt = now
  }

  /**
   * Returns whether that is news.
   * @param aloneAt until when it is awaited
   */
  lose(aloneAt: number, wasSilent = false): boolean {
    if (this.isAbsent) return false
    this.#state = { state: 'lost', aloneAt, wasSilent, announceAt: NEVER }
    return true
  }

  /**
   * It cannot go on at present; the channel is open still. It is announced to again after a pause that grows each time.
   * @param wasJoined it had let the peer in, which ends the stream from the origin: to do so in vain becomes ever rarer
   */
  refuse(now: number, random: Random, wasJoined: boolean): void {
    const pauseMs = PAUSE_MS * 2 ** this.#refusals++
    if (this.#state.state !== 'lost') return
    this.#state.announceAt = now + jitter(random, wasJoined ? pauseMs : Math.min(pauseMs, PAUSE_MAX_MS))
  }

  /** From now on it plays no part. */
  dismiss(): void {
    this.#state = { state: 'none' }
    this.#isDismissed = true
  }

  isSilent(now: number, limits: { silenceMs: number; layoutMs: number }): boolean {
    if (this.#state.state === 'joining') return now - this.#state.since > limits.layoutMs
    return this.#state.state === 'joined' && now - this.#state.heardAt > limits.silenceMs
  }

  /**
   * Whether it is time to say again what is held: nothing has moved for a while, at most once per period; or it speaks again after a
   * silence; or it has refused a while ago.
   */
  takeResync(now: number, idle: { idleSince: number; periodMs: number }): boolean {
    if (this.#state.state === 'lost' && now >= this.#state.announceAt) {
      this.#state.announceAt = NEVER
      return true
    }
    if (this.#state.state !== 'joined') return false
    if (Math.min(now - idle.idleSince, now - this.#state.resyncedAt) <= idle.periodMs) return false
    this.#state.resyncedAt = now
    return true
  }
}
