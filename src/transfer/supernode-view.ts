/** What a download thinks of its supernode. */

type State =
  | { state: 'none' }
  | { state: 'joining'; since: number }
  | { state: 'joined'; heardAt: number; resyncedAt: number }
  /** `isHeardAgain`: it fell silent and then spoke, so that it is worth announcing to. */
  | { state: 'lost'; aloneAt: number; wasSilent: boolean; isHeardAgain: boolean }

export class SupernodeView {
  #state: State
  #isDismissed = false

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

  /** Whether the download has to find its pieces by itself by now. */
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
    if (this.#state.state === 'lost' && this.#state.wasSilent) this.#state.isHeardAgain = true
  }

  /**
   * Returns whether that is news.
   * @param aloneAt until when it is awaited
   */
  lose(aloneAt: number, wasSilent = false): boolean {
    if (this.isAbsent) return false
    this.#state = { state: 'lost', aloneAt, wasSilent, isHeardAgain: false }
    return true
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
   * silence.
   */
  takeResync(now: number, idle: { idleSince: number; periodMs: number }): boolean {
    if (this.#state.state === 'lost' && this.#state.isHeardAgain) {
      this.#state.isHeardAgain = false
      return true
    }
    if (this.#state.state !== 'joined') return false
    if (Math.min(now - idle.idleSince, now - this.#state.resyncedAt) <= idle.periodMs) return false
    this.#state.resyncedAt = now
    return true
  }
}
