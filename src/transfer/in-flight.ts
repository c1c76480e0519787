import { removeAt } from '../core/remove-from.ts'
import type { PieceFrom, SourceId } from './events.ts'
import { Pace } from './pace.ts'

type Entry = PieceFrom & { readonly since: number; isSlow: boolean }

/** The pieces on their way, with their deadlines. A piece may come from two sources at once. */
export class InFlight {
  readonly #entries: Entry[] = []
  readonly #pace = new Pace()

  get count(): number {
    return this.#entries.length
  }

  isComing(piece: number): boolean {
    return this.#entries.some(entry => entry.piece === piece)
  }

  /** Whether it is on its way, but late from everybody who was asked. */
  isLate(piece: number): boolean {
    const entries = this.#entries.filter(entry => entry.piece === piece)
    return entries.length > 0 && entries.every(entry => entry.isSlow)
  }

  /** Whether nothing is on its way in time. */
  get isAllLate(): boolean {
    return this.#entries.every(entry => entry.isSlow)
  }

  /** Age at which a piece is late. */
  get hedgeAfterMs(): number {
    return this.#pace.hedgeAfterMs
  }

  countFrom(source: SourceId): number {
    return this.#entries.filter(entry => entry.source === source).length
  }

  /** Returns whether it is new. */
  add(piece: number, source: SourceId, now: number): boolean {
    if (this.#find(piece, source) >= 0) return false
    this.#entries.push({ piece, source, since: now, isSlow: false })
    return true
  }

  /** Takes it off the list; false if it was given up before. */
  settle(piece: number, source: SourceId): boolean {
    const at = this.#find(piece, source)
    if (at >= 0) removeAt(this.#entries, at)
    return at >= 0
  }

  /** How long a piece took; later deadlines follow from it. */
  record(elapsedMs: number): void {
    this.#pace.record(elapsedMs)
  }

  sourcesOf(piece: number): SourceId[] {
    return this.#entries.filter(entry => entry.piece === piece).map(entry => entry.source)
  }

  /** Those that have become late since the last call, and those to be given up. */
  takeLate(now: number): { slow: number[]; abandoned: PieceFrom[] } {
    const slow: number[] = []
    const abandoned: PieceFrom[] = []
    for (const entry of this.#entries) {
      const ageMs = now - entry.since
      if (this.#pace.isHopeless(ageMs)) abandoned.push(entry)
      if (entry.isSlow || !this.#pace.isLate(ageMs)) continue
      entry.isSlow = true
      slow.push(entry.piece)
    }
    return { slow, abandoned }
  }

  takeAll(): PieceFrom[] {
    return this.#entries.splice(0)
  }

  #find(piece: number, source: SourceId): number {
    return this.#entries.findIndex(entry => entry.piece === piece && entry.source === source)
  }
}
