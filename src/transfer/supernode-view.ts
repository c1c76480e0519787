/** What a download thinks of its supernode. */

type State =
  | { state: 'none' }
  | { state: 'joining' }
  | { state: 'joined'; heardAt: number; resyncedAt: number }
  | { state: 'lost'; aloneAt: number }

export class SupernodeView {
  #state: State

  constructor(hasSupernode: boolean) {
    this.#state = hasSupernode ? { state: 'joining' } : { state: 'none' }
  }

  get isJoining(): boolean {
    return this.#state.state === 'joining'
  }

  get isJoined(): boolean {
    return this.#state.state === 'joined'
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
  }

  hear(now: number): void {
    if (this.#state.state === 'joined') this.#state.heardAt = now
  }

  /** @param aloneAt until when it is awaited */
  lose(aloneAt: number): void {
    if (this.#state.state === 'joined' || this.#state.state === 'joining')
      this.#state = { state: 'lost', aloneAt }
  }

  /** From now on it plays no part. */
  dismiss(): void {
    this.#state = { state: 'none' }
  }

  isSilent(now: number, silenceMs: number): boolean {
    return this.#state.state === 'joined' && now - this.#state.heardAt > silenceMs
  }

  /** Whether it is time to say again what is held, because nothing has moved for a while. At most once per period. */
  takeResync(now: number, idle: { movedAt: number; periodMs: number }): boolean {
    if (this.#state.state !== 'joined') return false
    if (Math.min(now - idle.movedAt, now - this.#state.resyncedAt) <= idle.periodMs) return false
    this.#state.resyncedAt = now
    return true
  }
}
