import type { Clock } from '../core/clock.ts'

type RefresherOptions = {
  /** Says itself what failed, and does not reject. */
  load(): Promise<void>
  readonly everyMs: number
  readonly clock: Clock
}

/** Loads from the database every so often, for what other managing nodes changed, and at once for what was changed here; one load at a time. */
export class Refresher {
  readonly #options: RefresherOptions
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | null = null
  #cancelTimer = () => {}
  #isStopped = false

  constructor(options: RefresherOptions) {
    this.#options = options
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /** The first load comes after `everyMs`. */
  start(): void {
    if (this.#isStopped) return
    const { clock, everyMs } = this.#options
    this.#cancelTimer = clock.schedule(everyMs, () => void this.refresh().then(() => this.start()))
  }

  /**
   * Resolves when all is loaded that was in the database at the time of the call. What runs already may have read before, so that the caller
   * waits for the load behind it, which all share who call meanwhile.
   */
  refresh(): Promise<void> {
    if (this.#next) return this.#next
    const next = this.#running.then(async () => {
      this.#running = next
      this.#next = null
      if (!this.#isStopped) await this.#options.load()
    })
    this.#next = next
    return next
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelTimer()
    await (this.#next ?? this.#running)
  }
}
