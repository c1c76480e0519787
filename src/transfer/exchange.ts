import type { ErrorCode } from '../core/error.ts'
import type { Random } from '../core/random.ts'
import type { Content } from './content.ts'
import type { DownloadLimits } from './download-options.ts'
import type { DownloadEffect, PieceFrom, SourceId } from './events.ts'
import { isLie } from './failure.ts'
import { InFlight } from './in-flight.ts'
import { KnownSources } from './known-sources.ts'
import { neededNext, type Reader } from './reader.ts'
import { emptyReport, isEmptyReport, type ReportBatch } from './report-batch.ts'

type ExchangeOptions = {
  readonly content: Content
  readonly limits: DownloadLimits
  readonly random: Random
  emit(effect: DownloadEffect): void
}

/** Asked after every event, which as a rule is no news; so it is not made anew. */
const NOTHING_NEW = emptyReport()

/**
 * Pieces from other hosts: what is on its way, who is known to hold what, and what the supernode is to be told. Each assignment ends in
 * the report exactly once, as done, failed or released.
 */
export class Exchange {
  readonly known = new KnownSources()
  readonly inFlight = new InFlight()
  /** The supernode's own piece server, so that its bytes are told from those of peers, and which is asked again even after a lie. */
  seedSource: SourceId | null = null
  readonly #options: ExchangeOptions
  #report: ReportBatch = emptyReport()

  constructor(options: ExchangeOptions) {
    this.#options = options
  }

  moveReader(reader: Reader): void {
    this.#options.content.reader = reader
    this.#report.reader = reader
  }

  takeReport(): ReportBatch {
    if (isEmptyReport(this.#report)) return NOTHING_NEW
    const report = this.#report
    this.#report = emptyReport()
    return report
  }

  assign(pieces: readonly PieceFrom[], now: number): void {
    for (const { piece, source } of pieces) {
      this.known.meet(source)
      if (!this.#options.content.isWanted(piece)) this.decline([{ piece, source }])
      else if (!this.known.isBannedForever(source)) this.#accept(piece, source, now)
      else this.#report.failed.push({ piece, source, code: 'DIGEST_MISMATCH' })
    }
  }

  #accept(piece: number, source: SourceId, now: number): void {
    const isNew = this.#fetch(piece, source, now)
    // A supernode that has just come knows nothing of what is on its way already, nor that it is late.
    if (!isNew && this.inFlight.isLate(piece)) this.#report.slow.push(piece)
  }

  /** Says why, so that the supernode does not assign the same again. */
  decline(pieces: readonly PieceFrom[]): void {
    for (const { piece, source } of pieces) {
      this.known.meet(source)
      this.#report.released.push({ piece, source })
      if (this.#options.content.held.has(piece)) this.#report.fromOrigin.push(piece)
    }
  }

  /** Gives up what is on its way, without blame. */
  release(pieces: readonly PieceFrom[]): void {
    for (const { piece, source } of pieces) {
      if (!this.inFlight.settle(piece, source)) continue
      this.#options.emit({ type: 'cancel-fetch', piece, source })
      this.#report.released.push({ piece, source })
    }
  }

  /** A piece has come from a source, perhaps after it was given up there. */
  finish(piece: number, source: SourceId, elapsedMs: number): void {
    const wasAwaited = this.inFlight.settle(piece, source)
    this.inFlight.record(elapsedMs)
    if (wasAwaited) this.#report.done.push({ piece, source, elapsedMs })
    else this.#report.fromOrigin.push(piece)
  }

  /** The piece is held, wherever it came from. */
  hold(piece: number): void {
    this.#options.content.hold(piece)
    if (!this.inFlight.isComing(piece)) return
    this.release(this.inFlight.sourcesOf(piece).map(source => ({ piece, source })))
  }

  reportFromOrigin(piece: number): void {
    if (!this.#options.content.held.has(piece)) this.#report.fromOrigin.push(piece)
  }

  /**
   * Returns whether it was still awaited.
   * @param isBanned also for a while where nobody told a lie: there is no supernode who knows better when to ask the source again
   */
  fail(failure: PieceFrom & { code: ErrorCode }, now: number, isBanned: boolean): boolean {
    const { piece, source, code } = failure
    if (!this.inFlight.settle(piece, source)) return false
    this.#report.failed.push({ piece, source, code })
    if (isLie(code)) this.known.ban(source, now, source !== this.seedSource)
    else if (isBanned) this.known.ban(source, now)
    return true
  }

  /** Reports pieces that are late; gives up, and returns, those that are hopeless. */
  takeLate(now: number): PieceFrom[] {
    const { slow, abandoned } = this.inFlight.takeLate(now)
    this.#report.slow.push(...slow)
    for (const { piece, source } of abandoned) this.#options.emit({ type: 'cancel-fetch', piece, source })
    return abandoned
  }

  /** Without a supernode: asks known sources what they hold, and for what is missing. */
  fetchFromKnown(now: number): void {
    const { content, limits, random, emit } = this.#options
    for (const source of this.known.takeToAsk(now)) emit({ type: 'ask-held', source })
    while (this.inFlight.count < limits.window) {
      const isFree = (source: SourceId) => this.inFlight.countFrom(source) < limits.perSource
      const mayFetch = (piece: number, source: SourceId) => this.#mayFetch(piece, source)
      const needed = neededNext(content)
      const isNeeded = (piece: number, source: SourceId) =>
        needed!.start <= piece && piece < needed!.end && mayFetch(piece, source)
      const forReader = needed && this.known.pick(isNeeded, isFree, random)
      const found = forReader ?? this.known.pick(mayFetch, isFree, random)
      if (!found) return
      this.#fetch(found.piece, found.source, now)
    }
  }

  cancelAll(): void {
    for (const { piece, source } of this.inFlight.takeAll()) {
      this.#options.emit({ type: 'cancel-fetch', piece, source })
    }
  }

  /** A late piece may come from a second source. */
  #mayFetch(piece: number, source: SourceId): boolean {
    if (!this.#options.content.isWanted(piece)) return false
    const asked = this.inFlight.sourcesOf(piece)
    return asked.length === 0 || (asked.length === 1 && asked[0] !== source && this.inFlight.isLate(piece))
  }

  /** Returns whether it is not on its way from there already. */
  #fetch(piece: number, source: SourceId, now: number): boolean {
    const isNew = this.inFlight.add(piece, source, now)
    if (isNew) this.#options.emit({ type: 'fetch', piece, source })
    return isNew
  }
}
