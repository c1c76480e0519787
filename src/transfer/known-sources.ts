import type { Bitmap } from '../core/bitmap.ts'
import { pickIndex, type Random } from '../core/random.ts'
import type { PieceFrom, SourceId } from './events.ts'

type KnownSource = { holds: Set<number>; askedAt: number; bannedUntil: number }

const ASK_AGAIN_MS = 1_000
const BAN_MS = 10_000
const KNOWN_MAX = 256

/** The sources that a download has met. While the supernode is gone they are what is left of the swarm. */
export class KnownSources {
  readonly #sources = new Map<SourceId, KnownSource>()

  meet(source: SourceId): void {
    if (this.#sources.has(source) || this.#sources.size >= KNOWN_MAX) return
    this.#sources.set(source, { holds: new Set(), askedAt: Number.NEGATIVE_INFINITY, bannedUntil: 0 })
  }

  /** What a banned source says comes too late. */
  holds(source: SourceId, pieces: readonly number[], now: number): void {
    const known = this.#sources.get(source)
    if (known && now >= known.bannedUntil) known.holds = new Set(pieces)
  }

  /** @param forever for sources that sent wrong bytes */
  ban(source: SourceId, now: number, forever = false): void {
    const known = this.#sources.get(source)
    if (!known) return
    known.bannedUntil = forever ? Number.POSITIVE_INFINITY : Math.max(known.bannedUntil, now + BAN_MS)
    known.holds.clear()
  }

  isBannedForever(source: SourceId): boolean {
    return this.#sources.get(source)?.bannedUntil === Number.POSITIVE_INFINITY
  }

  /** Sources whose pieces are to be asked for now; marks them as asked. */
  takeToAsk(now: number): SourceId[] {
    const due = [...this.#sources].filter(
      ([, known]) => now >= known.bannedUntil && now - known.askedAt >= ASK_AGAIN_MS,
    )
    for (const [, known] of due) known.askedAt = now
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

  /** First stretch of missing pieces that no known source offers and nothing is fetching; null if there is none. */
  firstGap(
    held: Bitmap,
    count: number,
    isComing: (piece: number) => boolean,
  ): { from: number; until: number } | null {
    const isGap = (piece: number) => !held.has(piece) && !isComing(piece) && !this.offers(piece)
    let from = 0
    while (from < count && !isGap(from)) from++
    if (from === count) return null
    let until = from + 1
    while (until < count && isGap(until)) until++
    return { from, until }
  }
}
