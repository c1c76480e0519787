/** The kernel may hold this much of a task that is not on the disk yet, plus what arrives during one sync. */
export const WRITE_BACK_BYTES = 64 * 1024 ** 2

/** Syncs in the background while a file grows, so that the end of a big one does not wait for all of it; or only then. */
export class WriteBack {
  /** Whether nobody waits for the end: until then the kernel decides what goes to the disk, and who reads meanwhile has the CPU. */
  isAtEnd = false
  readonly #sync: () => Promise<void>
  #unsyncedBytes = 0
  #running: Promise<void> | null = null
  /** The kernel reports a lost write once, to one sync; a later sync proves nothing. */
  #failure: unknown = null

  constructor(sync: () => Promise<void>) {
    this.#sync = sync
  }

  /** Call after each write. Starts at most one sync at a time and never waits. */
  wrote(lengthBytes: number): void {
    this.#unsyncedBytes += lengthBytes
    const isDue = this.#unsyncedBytes >= WRITE_BACK_BYTES && !this.isAtEnd
    if (!isDue || this.#running || this.#failure !== null) return
    this.#unsyncedBytes = 0
    this.#running = this.#sync()
      .catch((error: unknown) => {
        this.#failure = error
      })
      .finally(() => {
        this.#running = null
      })
  }

  /** Syncs the rest. Throws the first failure of any sync, and goes on throwing it. */
  async finish(): Promise<void> {
    await this.#running
    if (this.#failure !== null) throw this.#failure
    this.#unsyncedBytes = 0
    try {
      await this.#sync()
    } catch (error) {
      this.#failure = error
      throw error
    }
  }
}
