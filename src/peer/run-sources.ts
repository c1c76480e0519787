import type { ErrorCode } from '../core/error.ts'
import type { SourceId } from '../transfer/events.ts'

/** A source as a run met it. */
type RunSource = {
  readonly address: string
  readonly kind: 'origin' | 'supernode' | 'peer'
  /** Verified, also where another source had brought the same piece before. */
  readonly bytes: number
  readonly pieces: number
  /** In which at least one piece was coming from it. */
  readonly receiveMs: number
}

type RunRetry = { readonly source: string; readonly code: ErrorCode; readonly count: number }

type Tally = { kind: RunSource['kind']; bytes: number; pieces: number; receiveMs: number }

/** How the origin is called among the sources. */
export const ORIGIN = 'origin'

/** Beyond so many, sources and failures are counted together. A swarm may have thousands. */
const KEPT_MAX = 32
const TALLIES_MAX = 4096

/** Who brought how much in which time, and who failed how. */
export class RunSources {
  readonly #tallies = new Map<SourceId, Tally>()
  readonly #coming = new Map<SourceId, { count: number; since: number }>()
  readonly #retries = new Map<string, { source: string; code: ErrorCode; count: number }>()
  #retryCount = 0

  /** A piece begins to come. */
  begin(source: SourceId, now: number): void {
    const coming = this.#coming.get(source)
    if (coming) coming.count++
    else this.#coming.set(source, { count: 1, since: now })
  }

  /** It comes no more, whether it is here or was given up. */
  end(source: SourceId, now: number): void {
    const coming = this.#coming.get(source)
    if (!coming) return
    coming.count--
    if (coming.count > 0) return
    this.#coming.delete(source)
    const tally = this.#tally(source)
    if (tally) tally.receiveMs += now - coming.since
  }

  brought(source: SourceId, kind: RunSource['kind'], bytes: number): void {
    const tally = this.#tally(source)
    if (!tally) return
    tally.kind = kind
    tally.bytes += bytes
    tally.pieces++
  }

  failed(source: SourceId, code: ErrorCode): void {
    this.#retryCount++
    const key = `${source} ${code}`
    const known = this.#retries.get(key)
    if (known) known.count++
    else if (this.#retries.size < TALLIES_MAX) this.#retries.set(key, { source, code, count: 1 })
  }

  /** Those that brought most, and those that failed most. */
  summary(now: number): {
    sources: RunSource[]
    otherSources: { count: number; bytes: number }
    retries: RunRetry[]
    retryCount: number
  } {
    for (const source of [...this.#coming.keys()]) {
      this.#coming.get(source)!.count = 1
      this.end(source, now)
    }
    const all = [...this.#tallies]
      .filter(([, tally]) => tally.bytes > 0)
      .map(([address, tally]) => ({ address, ...tally, receiveMs: Math.round(tally.receiveMs) }))
      .toSorted((a, b) => b.bytes - a.bytes)
    const others = all.slice(KEPT_MAX)
    return {
      sources: all.slice(0, KEPT_MAX),
      otherSources: { count: others.length, bytes: others.reduce((sum, { bytes }) => sum + bytes, 0) },
      retries: [...this.#retries.values()].toSorted((a, b) => b.count - a.count).slice(0, KEPT_MAX),
      retryCount: this.#retryCount,
    }
  }

  #tally(source: SourceId): Tally | null {
    const known = this.#tallies.get(source)
    if (known) return known
    if (this.#tallies.size >= TALLIES_MAX) return null
    const tally: Tally = { kind: 'peer', bytes: 0, pieces: 0, receiveMs: 0 }
    this.#tallies.set(source, tally)
    return tally
  }
}
