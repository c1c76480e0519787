import type { Digest } from '../core/digest.ts'
import { ERROR_TABLE, type ErrorCode } from '../core/error.ts'
import { jitter, type Random } from '../core/random.ts'
import type { Version } from '../core/version.ts'
import { Content } from './content.ts'
import type { DownloadLimits, DownloadStart } from './download-options.ts'
import type { DownloadEffect, DownloadEvent, OriginMode, PieceFrom, SourceId, WaitReason } from './events.ts'
import { InFlight } from './in-flight.ts'
import { KnownSources } from './known-sources.ts'
import { OriginTurn } from './origin-turn.ts'
import { emptyReport, type ReportBatch } from './report-batch.ts'
import { SupernodeView } from './supernode-view.ts'
import { Waits } from './waits.ts'

/**
 * One download as a state machine: events and `now` in, effects out; no I/O, no timers, deterministic. The supernode's CDN is the same
 * machine without a supernode: its only source is the origin.
 *
 *   announcing ─► preparing ─► receiving ─► verifying ─► complete
 *        └────────────┴────────────┴────────────┴──────► failed
 *
 * Orders of fall-back while receiving: assigned sources → sources already known → origin for the missing pieces only → error. The
 * full table of what can go wrong is in docs/download.md.
 */
export type Phase = 'announcing' | 'preparing' | 'receiving' | 'verifying' | 'complete' | 'failed'

export class Download {
  phase: Phase = 'announcing'
  readonly content: Content
  digest: Digest | null = null
  peers = 0
  readonly bytes = { origin: 0, supernode: 0, peers: 0, local: 0 }
  retries = 0
  readonly usedSources = new Set<SourceId>()
  /** The supernode's own piece server, so that its bytes are told from those of peers. */
  seedSource: SourceId | null = null
  readonly waits: Waits
  readonly #hasSupernode: boolean
  readonly #limits: DownloadLimits
  readonly #random: Random
  readonly #known = new KnownSources()
  readonly #inFlight = new InFlight()
  readonly #deferred: DownloadEvent[] = []
  readonly #supernode: SupernodeView
  readonly #origin: OriginTurn
  /** Who confirmed that the version is current; null while it is only what an earlier run left. */
  #confirmedBy: 'supernode' | 'origin' | null = null
  #movedAt: number
  #report: ReportBatch = emptyReport()
  #effects: DownloadEffect[] = []

  constructor(start: DownloadStart, now: number) {
    this.#hasSupernode = start.hasSupernode
    this.#limits = start.limits
    this.#random = start.random
    this.#supernode = new SupernodeView(start.hasSupernode)
    this.#origin = new OriginTurn(start.limits.originTries)
    this.#movedAt = now
    this.content = new Content(start.stored)
    this.waits = new Waits(start.hasSupernode ? 'layout' : 'origin', now)
  }

  /** The first effects. With a supernode there are none: the engine announces whenever it has a channel. */
  begin(now: number): DownloadEffect[] {
    if (this.#supernode.isAbsent) this.#openOrigin(now)
    return this.#leave(now)
  }

  step(event: DownloadEvent, now: number): DownloadEffect[] {
    if (!this.isOver) this.#handle(event, now)
    return this.#leave(now)
  }

  get isOver(): boolean {
    return this.phase === 'complete' || this.phase === 'failed'
  }

  /** Whether the version is settled, so that what is held may be offered to others. */
  get isConfirmed(): boolean {
    return this.#confirmedBy !== null
  }

  /** What the supernode is to be told; empties the batch. */
  takeReport(): ReportBatch {
    const report = this.#report
    this.#report = emptyReport()
    return report
  }

  #handle(event: DownloadEvent, now: number): void {
    if (this.phase === 'preparing' && DEFERRED_WHILE_PREPARING.has(event.type)) {
      this.#deferred.push(event)
      return
    }
    switch (event.type) {
      case 'layout':
        return this.#onLayout(event, now)
      case 'digests':
        this.#supernode.hear(now)
        return this.content.learnDigests(event.pieces)
      case 'assigned':
        return this.#onAssigned(event.pieces, now)
      case 'revoked':
        this.#supernode.hear(now)
        for (const { piece, source } of event.pieces) this.#release(piece, source)
        return
      case 'status':
        this.#supernode.hear(now)
        this.peers = event.peers
        return
      case 'refused':
        return this.#onRefused(event.code, event.message, now)
      case 'supernode-lost':
        return this.#supernode.lose(now + jitter(this.#random, this.#limits.graceMs))
      case 'supernode-unavailable':
        this.#supernode.lose(now)
        return this.#goOn(now)
      case 'prepared':
        return this.#onPrepared(now)
      case 'fetched':
        return this.#onFetched(event, now)
      case 'fetch-failed':
        return this.#onFetchFailed(event.piece, event.source, event.code, now)
      case 'source-holds':
        this.#known.holds(event.source, event.pieces)
        return this.#goOn(now)
      case 'source-silent':
        this.#known.ban(event.source, now)
        return this.#goOn(now)
      case 'moved':
        if (event.bytes > 0) this.#movedAt = now
        return
      case 'origin-answered':
        return this.#onOriginAnswered(event.kind, event.version, now)
      case 'origin-length':
        return this.#learnLength(event.lengthBytes)
      case 'origin-piece':
        return this.#onOriginPiece(event.piece, event.bytes, now)
      case 'origin-ended':
        return this.#onOriginEnded(now)
      case 'origin-failed':
        return this.#onOriginFailed(event.code, event.message, now)
      case 'verified':
        this.digest = event.digest
        this.phase = 'complete'
        this.#effects.push({ type: 'complete', digest: event.digest })
        return
      case 'stored-failed':
        return this.#fail(event.code, event.message)
      case 'tick':
        return this.#onTick(now)
      case 'cancelled':
        return this.#fail('CANCELLED', 'the download was cancelled')
    }
  }

  #leave(now: number): DownloadEffect[] {
    this.waits.switchTo(this.#waitReason(), now)
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  #waitReason(): WaitReason | null {
    if (this.isOver || this.#inFlight.count > 0) return null
    if (this.phase === 'verifying') return 'digest'
    if (this.phase === 'preparing') return 'disk'
    if (this.#origin.isOpen) return this.phase === 'announcing' ? 'origin' : null
    if (this.#origin.isBackingOff) return 'backoff'
    if (this.#supernode.isJoined) return 'schedule'
    return this.#supernode.isJoining ? 'layout' : 'supernode'
  }

  #onLayout(event: Extract<DownloadEvent, { type: 'layout' }>, now: number): void {
    const isAnother = !this.content.isVersion(event.version)
    if (this.#confirmedBy === 'origin' && isAnother) return this.#supernode.dismiss()
    this.#supernode.join(now)
    this.#closeOrigin()
    this.content.learnDigests(event.knownDigests)
    if (event.digest) this.digest = event.digest
    this.#settleVersion(event.version, 'supernode', now)
  }

  /** The version is now known for sure: go on with what is stored of it, or start anew, or fail if another one is half way. */
  #settleVersion(version: Version, by: 'supernode' | 'origin', now: number): void {
    if (!this.content.isVersion(version)) {
      if (this.isConfirmed) {
        return this.#fail('ORIGIN_CHANGED', 'the content at the origin changed during the download')
      }
      this.#confirmedBy = by
      return this.#adopt(version)
    }
    if (this.#confirmedBy === null) {
      this.#confirmedBy = by
      this.bytes.local = this.content.heldBytes
    }
    this.#learnLength(version.layout.lengthBytes)
    if (this.phase === 'announcing') this.phase = 'receiving'
    this.#goOn(now)
  }

  #adopt(version: Version): void {
    this.content.adopt(version)
    this.phase = 'preparing'
    this.#effects.push({ type: 'adopt', version })
  }

  #onPrepared(now: number): void {
    this.phase = 'receiving'
    for (const event of this.#deferred.splice(0)) this.#handle(event, now)
    if (this.phase === 'receiving') this.#goOn(now)
  }

  #learnLength(lengthBytes: number | null): void {
    if (this.content.learnLength(lengthBytes)) this.#effects.push({ type: 'seal', lengthBytes: lengthBytes! })
  }

  #onAssigned(pieces: readonly PieceFrom[], now: number): void {
    this.#supernode.hear(now)
    for (const { piece, source } of pieces) {
      this.#known.meet(source)
      const isUseful = this.phase === 'receiving' && this.content.isWanted(piece)
      if (isUseful && !this.#known.isBanned(source, now)) this.#fetch(piece, source, now)
      else this.#report.released.push({ piece, source })
    }
  }

  #fetch(piece: number, source: SourceId, now: number): void {
    if (this.#inFlight.add(piece, source, now)) this.#effects.push({ type: 'fetch', piece, source })
  }

  #release(piece: number, source: SourceId): void {
    if (!this.#inFlight.settle(piece, source)) return
    this.#effects.push({ type: 'cancel-fetch', piece, source })
    this.#report.released.push({ piece, source })
  }

  #onFetched(event: Extract<DownloadEvent, { type: 'fetched' }>, now: number): void {
    const { piece, source } = event
    this.#inFlight.settle(piece, source)
    this.#movedAt = now
    this.#inFlight.record(event.elapsedMs)
    this.usedSources.add(source)
    this.bytes[source === this.seedSource ? 'supernode' : 'peers'] += event.bytes
    this.#report.done.push({ piece, source, elapsedMs: event.elapsedMs })
    this.#hold(piece)
    this.#goOn(now)
  }

  #hold(piece: number): void {
    this.content.hold(piece)
    for (const rival of this.#inFlight.sourcesOf(piece)) this.#release(piece, rival)
  }

  #onFetchFailed(piece: number, source: SourceId, code: ErrorCode, now: number): void {
    if (!this.#inFlight.settle(piece, source)) return
    this.retries++
    this.#report.failed.push({ piece, source, code })
    const isLie = code === 'DIGEST_MISMATCH' || code === 'PROTOCOL_INVALID'
    if (isLie) this.#known.ban(source, now, source !== this.seedSource)
    else if (!this.#supernode.isJoined) this.#known.ban(source, now)
    this.#goOn(now)
  }

  #onRefused(code: ErrorCode, message: string, now: number): void {
    const isTheSupernodesOwn =
      code.startsWith('SUPERNODE_') || code === 'DISK_FULL' || code === 'DISK_ERROR' || code === 'INTERNAL'
    if (!isTheSupernodesOwn) return this.#fail(code, message)
    this.#supernode.lose(now + jitter(this.#random, this.#limits.graceMs))
  }

  #onOriginAnswered(kind: 'content' | 'unchanged', version: Version, now: number): void {
    this.#movedAt = now
    const current = kind === 'unchanged' ? this.content.version : null
    this.#settleVersion(current ?? version, 'origin', now)
  }

  #onOriginPiece(piece: number, bytes: number, now: number): void {
    this.#origin.progress()
    this.#movedAt = now
    this.bytes.origin += bytes
    this.content.learnDigests([piece])
    if (!this.content.held.has(piece)) this.#report.fromOrigin.push(piece)
    this.#hold(piece)
    this.#finishIfFull()
  }

  #onOriginEnded(now: number): void {
    if (!this.#origin.isOpen) return
    this.#origin.end()
    this.usedSources.add('origin')
    this.#goOn(now)
  }

  #onOriginFailed(code: ErrorCode, message: string, now: number): void {
    if (!this.#origin.isOpen) return
    this.retries++
    const mayRetry = ERROR_TABLE[code].isRetryable && code !== 'ORIGIN_CHANGED'
    if (!this.#origin.fail(now, this.#random) || !mayRetry) this.#fail(code, message)
  }

  #onTick(now: number): void {
    this.#lookAtSlowSources(now)
    this.#lookAtSupernode(now)
    const idleMs = now - this.#movedAt
    if (this.#supernode.isAbsent && this.phase !== 'verifying' && idleMs > this.#limits.stallMs) {
      return this.#fail('DOWNLOAD_STALLED', `nothing was received for ${Math.round(idleMs / 1000)} s`)
    }
    this.#goOn(now)
  }

  #lookAtSlowSources(now: number): void {
    const { slow, abandoned } = this.#inFlight.takeLate(now)
    this.#report.slow.push(...slow)
    for (const { piece, source } of abandoned) {
      this.#effects.push({ type: 'cancel-fetch', piece, source })
      this.#onFetchFailed(piece, source, 'SOURCE_SLOW', now)
    }
  }

  #lookAtSupernode(now: number): void {
    if (this.phase !== 'receiving') return
    const { silenceMs } = this.#limits
    if (this.#supernode.isSilent(now, silenceMs)) this.#supernode.lose(now)
    const idle = { movedAt: this.#movedAt, periodMs: silenceMs / 4 }
    if (this.#inFlight.count === 0 && this.#supernode.takeResync(now, idle))
      this.#effects.push({ type: 'announce' })
  }

  /** Completes if everything is there; otherwise, without a supernode, looks for the next thing to fetch. */
  #goOn(now: number): void {
    this.#finishIfFull()
    const isUnderWay = this.phase === 'announcing' || this.phase === 'receiving'
    if (isUnderWay && this.#supernode.isAlone(now)) this.#goOnAlone(now)
  }

  #goOnAlone(now: number): void {
    if (this.phase === 'receiving') this.#fetchFromKnown(now)
    if (this.#origin.isFree(now)) this.#openOrigin(now)
  }

  #fetchFromKnown(now: number): void {
    for (const source of this.#known.takeToAsk(now)) this.#effects.push({ type: 'ask-held', source })
    while (this.#inFlight.count < this.#limits.window) {
      const isWanted = (piece: number) => this.content.isWanted(piece) && !this.#inFlight.isComing(piece)
      const isFree = (source: SourceId) => this.#inFlight.countFrom(source) < this.#limits.perSource
      const found = this.#known.pick(isWanted, isFree, this.#random)
      if (!found) return
      this.#fetch(found.piece, found.source, now)
    }
  }

  #openOrigin(now: number): void {
    const { version, held, pieceCount, isFull } = this.content
    if (version === null) return this.#open('fresh', 0, null)
    if (pieceCount === null) return this.#open('resume', held.firstMissing(), null)
    if (isFull) return this.isConfirmed ? undefined : this.#open('revalidate', 0, null)
    const gap = this.#known.firstGap(held, pieceCount, piece => this.#inFlight.isComing(piece))
    if (gap) return this.#open('resume', gap.from, gap.until === pieceCount ? null : gap.until)
    const isStuck = this.#inFlight.count === 0 && now - this.#movedAt > this.#limits.stallMs / 4
    if (isStuck) this.#open('resume', held.firstMissing(), null)
  }

  #open(mode: OriginMode, fromPiece: number, untilPiece: number | null): void {
    this.#effects.push(this.#origin.open(mode, fromPiece, untilPiece))
  }

  #closeOrigin(): void {
    if (this.#origin.isOpen) this.#effects.push({ type: 'close-origin' })
    this.#origin.end()
  }

  #finishIfFull(): void {
    if (this.phase !== 'receiving' || !this.content.isFull) return
    this.#closeOrigin()
    this.phase = 'verifying'
    this.#effects.push({ type: 'verify' })
  }

  #fail(code: ErrorCode, message: string): void {
    this.#closeOrigin()
    for (const { piece, source } of this.#inFlight.takeAll()) {
      this.#effects.push({ type: 'cancel-fetch', piece, source })
    }
    this.phase = 'failed'
    const isKeptElsewhere = this.#hasSupernode && code.startsWith('ORIGIN_')
    this.#effects.push({ type: 'fail', code, message, isDiscarded: isKeptElsewhere || USELESS.has(code) })
  }
}

const DEFERRED_WHILE_PREPARING = new Set([
  'assigned',
  'layout',
  'origin-length',
  'origin-piece',
  'origin-ended',
])

/** Failures after which no later run can use what was received. Other failures of the origin leave it with the CDN, for all. */
const USELESS: ReadonlySet<ErrorCode> = new Set([
  'ORIGIN_CHANGED',
  'ORIGIN_NOT_FOUND',
  'ORIGIN_REFUSED',
  'ORIGIN_UNAUTHORIZED',
  'DIGEST_MISMATCH',
])
