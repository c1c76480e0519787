import type { Clock } from '../../core/clock.ts'
import type { DaemonMetrics } from '../metrics.ts'
import type { ContentFetcher, ContentOrder } from '../options.ts'
import { Reading } from './reading.ts'

/** Who begins at most so far behind what can be read already waits for it; who begins further on asks for a reading of their own. */
const JOIN_AHEAD_BYTES = 16 * 1024 * 1024

type Shared = { readonly reading: Reading; readers: number; readonly countOff: () => void }

/** The readings that are under way, by content. Late-comers join; the last to leave ends it. */
export class Readings {
  readonly #fetcher: ContentFetcher
  readonly #clock: Clock
  readonly #metrics: DaemonMetrics
  readonly #shared = new Map<string, Set<Shared>>()

  constructor(options: { fetcher: ContentFetcher; clock: Clock; metrics: DaemonMetrics }) {
    this.#fetcher = options.fetcher
    this.#clock = options.clock
    this.#metrics = options.metrics
  }

  /**
   * A reading from which the byte at `order.readFrom` comes soon. Whoever joins is somebody whom the upstream lets in. A second reading
   * of a content asks as the first did: the peer lets those wait who show something else than who came before them.
   */
  join(content: string, order: ContentOrder): { reading: Reading; leave: () => void } {
    const present = this.#shared.get(content) ?? new Set<Shared>()
    this.#shared.set(content, present)
    const position = order.readFrom ?? 0
    const { isSilent = false } = this.#fetcher
    let shared = [...present].find(
      ({ reading }) => reading.failure === null && (isSilent || isNear(reading, position)),
    )
    if (!shared) {
      const first = [...present].find(({ reading }) => reading.failure === null)
      const asked = first ? { ...first.reading.order, readFrom: position } : order
      const reading = new Reading(this.#fetcher, asked, this.#clock)
      shared = { reading, readers: 0, countOff: this.#metrics.reading() }
      present.add(shared)
    }
    shared.readers++
    let isLeft = false
    const leave = () => {
      if (isLeft) return
      isLeft = true
      if (--shared.readers === 0) this.#end(content, shared)
    }
    return { reading: shared.reading, leave }
  }

  #end(content: string, shared: Shared): void {
    const present = this.#shared.get(content)!
    present.delete(shared)
    if (present.size === 0) this.#shared.delete(content)
    shared.countOff()
    shared.reading.close()
  }
}

function isNear({ isWhole, readFrom, endByte }: Reading, position: number): boolean {
  return isWhole || (readFrom <= position && position <= endByte + JOIN_AHEAD_BYTES)
}
