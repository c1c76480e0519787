import { type FileHandle, open } from 'node:fs/promises'
import type { Clock } from '../../core/clock.ts'
import { DragonflyError, toDragonflyError } from '../../core/error.ts'
import type { LocalEvent, RunSnapshot } from '../../wire/local.ts'
import type { ContentFetcher, ContentOrder } from '../options.ts'

/**
 * One download of the peer that is read while it comes. The peer says how much of its file is verified; any number of answers read that
 * much of it, each from its own byte.
 */
export class Reading {
  readonly order: ContentOrder
  readonly readFrom: number
  readonly #ending = new AbortController()
  readonly #events: AsyncIterator<LocalEvent>
  readonly #clock: Clock
  readonly #watchers = new Set<() => void>()
  #path: string | null = null
  #file: Promise<FileHandle> | null = null
  #generation: string | null = null
  #endByte: number
  #heldBytes = 0
  #isWhole = false
  #completeLengthBytes: number | null = null
  #failure: DragonflyError | null = null
  #grownAtMs: number
  #aliveAtMs: number

  constructor(fetcher: ContentFetcher, order: ContentOrder, clock: Clock) {
    this.order = order
    this.readFrom = order.readFrom ?? 0
    this.#endByte = this.readFrom
    this.#clock = clock
    this.#grownAtMs = clock.now()
    this.#aliveAtMs = clock.now()
    this.#events = fetcher.fetch(order, this.#ending.signal)[Symbol.asyncIterator]()
    void this.#follow()
  }

  /** The bytes from `readFrom` up to it (exclusive) are verified. */
  get endByte(): number {
    return this.#endByte
  }

  /** Whether the whole content is verified, and may be read from its first byte on. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  /** Of the whole content, when it is verified and in its last place; null before. */
  get completeLengthBytes(): number | null {
    return this.#completeLengthBytes
  }

  get failure(): DragonflyError | null {
    return this.#failure
  }

  /** What the peer calls the version of the content that it reads. */
  get generation(): string | null {
    return this.#generation
  }

  /** When there was last more to read. */
  get grownAtMs(): number {
    return this.#grownAtMs
  }

  /** When the peer last had more of it, wherever in the content. */
  get aliveAtMs(): number {
    return this.#aliveAtMs
  }

  /** The returned function ends it. */
  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange)
    return () => this.#watchers.delete(onChange)
  }

  /**
   * Reads what is verified. 0 where the file is not in its place: it is moved when it is complete, and its next name comes, or has come,
   * with the next word from the peer.
   */
  async read(block: Uint8Array, lengthBytes: number, position: number): Promise<number> {
    const path = this.#path
    if (path === null) return 0
    this.#file ??= open(path)
    const opened = this.#file
    try {
      const { bytesRead } = await (await opened).read(block, 0, lengthBytes, position)
      return bytesRead
    } catch (cause) {
      if (this.#file === opened) this.#closeFile()
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT' || this.#path !== path) return 0
      throw new DragonflyError('DISK_ERROR', `the peer's copy cannot be read: ${(cause as Error).message}`, {
        cause,
      })
    }
  }

  /** Gives the download up. */
  close(): void {
    this.#ending.abort(new DragonflyError('CANCELLED', 'nobody reads it any more'))
    this.#events.return?.().catch(() => {})
    this.#closeFile()
  }

  async #follow(): Promise<void> {
    try {
      // The iteration is not ended at `complete`: as long as it is open, the file stays.
      while (this.#completeLengthBytes === null) {
        const { done, value } = await this.#events.next()
        if (done) throw new DragonflyError('PEER_LOST', 'the resident peer ended during the download')
        this.#take(value)
        this.#tell()
      }
    } catch (thrown) {
      this.#failure = toDragonflyError(thrown)
      this.#tell()
    }
  }

  #take(said: LocalEvent): void {
    if (said.event === 'failed') throw new DragonflyError(said.code, said.message)
    if (said.event === 'complete') {
      this.#moveTo(said.result.path)
      this.#isWhole = true
      this.#completeLengthBytes = said.result.lengthBytes
      this.#grownAtMs = this.#clock.now()
      return
    }
    const { progress, readable } = said
    this.#notice(progress)
    if (!readable) return
    const hasBytes = this.#endByte > this.readFrom
    if (hasBytes && readable.generation !== this.#generation) {
      throw new DragonflyError('ORIGIN_CHANGED', 'the content changed while it was read')
    }
    this.#generation = readable.generation
    // What was verified before is gone where there is less now, and another file may have the same name.
    if (readable.endByte < this.#endByte) this.#closeFile()
    this.#moveTo(readable.path)
    if (readable.endByte > this.#endByte) this.#grownAtMs = this.#clock.now()
    this.#endByte = Math.max(readable.endByte, this.readFrom)
    this.#isWhole = readable.isWhole
  }

  #notice({ heldBytes }: RunSnapshot): void {
    if (heldBytes !== this.#heldBytes) this.#aliveAtMs = this.#clock.now()
    this.#heldBytes = heldBytes
  }

  #moveTo(path: string): void {
    if (path === this.#path) return
    this.#path = path
    this.#closeFile()
  }

  #closeFile(): void {
    this.#file?.then(file => file.close()).catch(() => {})
    this.#file = null
  }

  #tell(): void {
    for (const onChange of [...this.#watchers]) onChange()
  }
}
