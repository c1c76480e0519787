import type { Clock } from '../core/clock.ts'
import type { LocalEvent, Readable } from '../wire/local.ts'
import type { DownloadRun } from './download-run.ts'
import { readableStretch } from './readable-stretch.ts'

type FeedOptions = {
  readonly run: () => DownloadRun
  /** Where the caller begins to read; null where it does not read before the end. */
  readonly readFrom: number | null
  readonly clock: Clock
  send(event: LocalEvent): void
  /** Whether the caller has yet to take what it was sent. */
  isBehind(): boolean
  /** Before each event that comes by the clock. */
  onTick(): void
}

/** Between events that come by the clock. */
const PROGRESS_MS = 200
/** Pieces that come faster than this are told together. */
const GROWTH_MS = 20

/** Tells a caller how its download goes: by the clock, and to who reads meanwhile as soon as there is more to read. */
export class ProgressFeed {
  readonly #options: FeedOptions
  #cancelTick = () => {}
  #cancelGrowth: (() => void) | null = null
  #told: Readable | null = null
  /** When it was last told that there is more. */
  #grewAt = Number.NEGATIVE_INFINITY
  #isStopped = false

  constructor(options: FeedOptions) {
    this.#options = options
    this.#tick()
  }

  /** There may be more to read. The first of it, and the end, for which somebody may be waiting, are told at once. */
  look(): void {
    const { clock, run } = this.#options
    const { isWhole } = run()
    if (this.#isStopped || (this.#cancelGrowth && !isWhole) || !this.#isNews(this.#readable)) return
    const waitMs = isWhole ? 0 : this.#grewAt + GROWTH_MS - clock.now()
    if (waitMs <= 0) return this.#tell()
    this.#cancelGrowth = clock.schedule(waitMs, () => {
      this.#cancelGrowth = null
      this.#tell()
    })
  }

  /** Says at once how things stand. */
  tell(): void {
    const { run, readFrom, clock, send } = this.#options
    const progress = run().snapshot()
    if (readFrom === null) return send({ event: 'progress', progress })
    this.#cancelGrowth?.()
    this.#cancelGrowth = null
    const readable = this.#readable
    if (this.#isNews(readable)) this.#grewAt = clock.now()
    this.#told = readable
    send({ event: 'progress', progress, readable })
  }

  stop(): void {
    this.#isStopped = true
    this.#cancelTick()
    this.#cancelGrowth?.()
  }

  get #readable(): Readable | null {
    const { run, readFrom } = this.#options
    return readFrom === null ? null : readableStretch(run(), readFrom)
  }

  #isNews(readable: Readable | null): boolean {
    if (readable === null) return false
    const told = this.#told ?? { endByte: this.#options.readFrom!, isWhole: false }
    return readable.endByte > told.endByte || (readable.isWhole && !told.isWhole)
  }

  /** Whoever is behind is told the next time, what has come up by then in one event. */
  #tell(): void {
    if (!this.#options.isBehind()) this.tell()
  }

  #tick(): void {
    this.#options.onTick()
    this.#tell()
    this.#cancelTick = this.#options.clock.schedule(PROGRESS_MS, () => this.#tick())
  }
}
