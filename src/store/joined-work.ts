import { orAborted } from '../core/clock.ts'

type Running<T> = { readonly done: Promise<T>; readonly end: AbortController; waiting: number }

/** Work that is done once however many want it meanwhile, and stopped when the last of them has gone. */
export class JoinedWork<T> {
  readonly #work: (signal: AbortSignal) => Promise<T>
  #running: Running<T> | null = null

  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#work = work
  }

  /** @throws the signal's reason; what the work throws */
  async join(signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    this.#running ??= this.#start()
    const running = this.#running
    running.waiting++
    try {
      return await orAborted(running.done, signal)
    } finally {
      if (--running.waiting === 0) this.#leave(running)
    }
  }

  #start(): Running<T> {
    const end = new AbortController()
    const done = this.#work(end.signal)
    // Nobody may be left who waits for it.
    done.catch(() => {})
    return { done, end, waiting: 0 }
  }

  #leave(running: Running<T>): void {
    running.end.abort()
    if (this.#running === running) this.#running = null
  }
}
