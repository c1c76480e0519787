import type { Bitmap } from '../core/bitmap.ts'
import { pickIndex, type Random } from '../core/random.ts'
import type { PieceFrom, SourceId } from './events.ts'

type KnownSource = {
  readonly holds: ReadonlySet<number>
  readonly askedAt: number
  readonly bannedUntil: number
}

const ASK_AGAIN_MS = 1_000
const ASKED_AT_ONCE = 16
const BAN_MS = 10_000
const KNOWN_MAX = 256
const NOTHING: ReadonlySet<number> = new Set()
/** As long as there is a supernode this is all there is to know of most sources, so they share it. */
const MET: KnownSource = { holds: NOTHING, askedAt: Number.NEGATIVE_INFINITY, bannedUntil: 0 }

/** The sources that a download has met. While the supernode is gone they are what is left of the swarm. */
export class KnownSources {
  readonly #sources = new Map<SourceId, KnownSource>()
  #askedAt = Number.NEGATIVE_INFINITY

  meet(source: SourceId): void {
    if (this.#sources.has(source) || this.#sources.size >= KNOWN_MAX) return
    this.#sources.set(source, MET)
  }

  /** What a banned source says comes too late. */
  holds(source: SourceId, pieces: readonly number[], now: number): void {
    const known = this.#sources.get(source)
    if (known && now >= known.bannedUntil) this.#sources.set(source, { ...known, holds: new Set(pieces) })
  }

  /** @param forever for sources that sent wrong bytes */
  ban(source: SourceId, now: number, forever = false): void {
    const known = this.#sources.get(source)
    if (!known) return
    const bannedUntil = forever ? Number.POSITIVE_INFINITY : Math.max(known.bannedUntil, now + BAN_MS)
    this.#sources.set(source, { ...known, bannedUntil, holds: NOTHING })
  }

  isBannedForever(source: SourceId): boolean {
    return this.#sources.get(source)?.bannedUntil === Number.POSITIVE_INFINITY
  }

  /** A few sources whose pieces are to be asked for now, those first that were not for longest; marks them as asked. */
  takeToAsk(now: number): SourceId[] {
    if (now - this.#askedAt < ASK_AGAIN_MS) return []
    const due = [...this.#sources]
      .filter(([, known]) => now >= known.bannedUntil)
      .sort(([, a], [, b]) => a.askedAt - b.askedAt)
      .slice(0, ASKED_AT_ONCE)
    if (due.length > 0) this.#askedAt = now
    for (const [source, known] of due) this.#sources.set(source, { ...known, askedAt: now })
    return due.map(([source]) => source)
  }

  /** A random missing piece with a source that holds it, or null. */
  pick(
    isWanted: (piece: number, source: SourceId) => boolean,
    isFree: (source: SourceId) => boolean,
    random: Random,
  ): PieceFrom | null {
    const sources = [...this.#sources].filter(([source, known]) => known.holds.size > 0 && isFree(source))
    while (sources.length > 0) {
      const [[source, known]] = sources.splice(pickIndex(random, sources.length), 1)
      const wanted = [...known.holds].filter(piece => isWanted(piece, source))
      if (wanted.length > 0) return { piece: wanted[pickIndex(random, wanted.length)], source }
    }
    return null
  }

  /** Whether somebody not banned says that it holds the piece. */
  offers(piece: number): boolean {
    for (const known of this.#sources.values()) if (known.holds.has(piece)) return true
    return false
  }

  /**
   * First stretch of missing pieces that no known source offers and nothing is fetching; null if there is none.
   * @param start where to begin; after the last piece comes the first
   */
  firstGap(
    held: Bitmap,
    range: { start: number; count: number },
    isComing: (piece: number) => boolean,
  ): { from: number; until: number } | null {
    const { start, count } = range
    const isGap = (piece: number) => !held.has(piece) && !isComing(piece) && !this.offers(piece)
    const firstIn = (from: number, end: number) => {
      while (from < end && !isGap(from)) from++
      return from < end ? from : null
    }
    const from = firstIn(start, count) ?? firstIn(0, start)
    if (from === null) return null
    let until = from + 1
    while (until < count && isGap(until)) until++
    return { from, until }
  }
}
