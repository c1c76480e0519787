import { Bitmap } from '../core/bitmap.ts'
import type { Digest } from '../core/digest.ts'
import { ERROR_TABLE, type ErrorCode } from '../core/error.ts'
import type { Generation } from '../core/generation.ts'
import { pieceCount } from '../core/piece-layout.ts'
import { jitter, type Random } from '../core/random.ts'
import type { Version } from '../core/version.ts'
import type { DownloadEffect, DownloadEvent, OriginMode, PieceFrom, SourceId, WaitReason } from './events.ts'
import { KnownSources } from './known-sources.ts'
import { Pace } from './pace.ts'
import { emptyReport, type ReportBatch } from './report-batch.ts'
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

export type DownloadLimits = {
  /** Pieces on their way at once when the peer schedules for itself. */
  readonly window: number
  readonly perSource: number
  /** How long a lost supernode is awaited before the peer goes on alone; jittered. */
  readonly graceMs: number
  /** A supernode without any message about the task for so long counts as lost. */
  readonly silenceMs: number
  /** Alone and without any byte for so long: the download fails. */
  readonly stallMs: number
  /** Tries at the origin without a new piece in between. */
  readonly originTries: number
}

export const DEFAULT_LIMITS: DownloadLimits = {
  window: 8,
  perSource: 2,
  graceMs: 2_000,
  silenceMs: 20_000,
  stallMs: 60_000,
  originTries: 3,
}

export type DownloadStart = {
  readonly hasSupernode: boolean
  /** What an earlier run left, every piece of it verified. */
  readonly stored: {
    readonly version: Version
    readonly held: Bitmap
    readonly knownDigests: Iterable<number>
  } | null
  readonly limits: DownloadLimits
  readonly random: Random
}

type SupernodeState =
  | { state: 'none' }
  | { state: 'joining' }
  | { state: 'joined'; heardAt: number; resyncedAt: number }
  | { state: 'lost'; aloneAt: number }

type OriginState =
  | { state: 'idle' }
  | { state: 'open'; mode: OriginMode; from: number; until: number | null }
  | { state: 'backoff'; until: number }

type OnItsWay = PieceFrom & { readonly since: number; isSlow: boolean }

export class Download {
  phase: Phase = 'announcing'
  version: Version | null = null
  digest: Digest | null = null
  held: Bitmap
  peers = 0
  readonly bytes = { origin: 0, supernode: 0, peers: 0, local: 0 }
  retries = 0
  readonly usedSources = new Set<SourceId>()
  /** The supernode's own piece server, so that its bytes are told from those of peers. */
  seedSource: SourceId | null = null
  readonly waits: Waits
  readonly #limits: DownloadLimits
  readonly #random: Random
  readonly #known = new KnownSources()
  readonly #pace = new Pace()
  readonly #digests = new Set<number>()
  readonly #onTheirWay: OnItsWay[] = []
  readonly #deferred: DownloadEvent[] = []
  #supernode: SupernodeState
  #origin: OriginState = { state: 'idle' }
  #originAttempts = 0
  /** Who confirmed that the version is current; null while it is only what an earlier run left. */
  #confirmedBy: 'supernode' | 'origin' | null = null
  #movedAt: number
  #report: ReportBatch = emptyReport()
  #effects: DownloadEffect[] = []

  constructor(start: DownloadStart, now: number) {
    this.#limits = start.limits
    this.#random = start.random
    this.#supernode = start.hasSupernode ? { state: 'joining' } : { state: 'none' }
    this.#movedAt = now
    this.version = start.stored?.version ?? null
    this.held = start.stored?.held ?? new Bitmap(0)
    for (const piece of start.stored?.knownDigests ?? []) this.#digests.add(piece)
    this.waits = new Waits(start.hasSupernode ? 'layout' : 'origin', now)
  }

  /** The first effects. With a supernode there are none: the engine announces whenever it has a channel. */
  begin(now: number): DownloadEffect[] {
    if (this.#supernode.state === 'none') this.#openOrigin(now)
    return this.#leave(now)
  }

  step(event: DownloadEvent, now: number): DownloadEffect[] {
    if (!this.isOver) this.#handle(event, now)
    return this.#leave(now)
  }

  get isOver(): boolean {
    return this.phase === 'complete' || this.phase === 'failed'
  }

  /** Number of pieces, null while the length is unknown. */
  get pieceCount(): number | null {
    return this.version && this.version.layout.lengthBytes !== null ? pieceCount(this.version.layout) : null
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
        this.#hear(now)
        for (const piece of event.pieces) this.#digests.add(piece)
        return
      case 'assigned':
        return this.#onAssigned(event.pieces, now)
      case 'revoked':
        this.#hear(now)
        for (const { piece, source } of event.pieces) this.#release(piece, source)
        return
      case 'status':
        this.#hear(now)
        this.peers = event.peers
        return
      case 'refused':
        return this.#onRefused(event.code, event.message, now)
      case 'supernode-lost':
        return this.#onSupernodeLost(now)
      case 'supernode-unavailable':
        this.#supernode = { state: 'lost', aloneAt: now }
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
    if (this.isOver || this.#onTheirWay.length > 0) return null
    if (this.phase === 'verifying') return 'digest'
    if (this.phase === 'preparing') return 'disk'
    if (this.#origin.state === 'open') return this.phase === 'announcing' ? 'origin' : null
    if (this.#origin.state === 'backoff') return 'backoff'
    if (this.#supernode.state === 'joined') return 'schedule'
    return this.#supernode.state === 'joining' ? 'layout' : 'supernode'
  }

  #hear(now: number): void {
    if (this.#supernode.state === 'joined') this.#supernode.heardAt = now
  }

  #onLayout(event: Extract<DownloadEvent, { type: 'layout' }>, now: number): void {
    const isAnother = this.version?.generation !== event.version.generation
    if (this.#confirmedBy === 'origin' && isAnother) {
      this.#supernode = { state: 'none' }
      return
    }
    this.#supernode = { state: 'joined', heardAt: now, resyncedAt: now }
    this.#closeOrigin()
    for (const piece of event.knownDigests) this.#digests.add(piece)
    if (event.digest) this.digest = event.digest
    this.#settleVersion(event.version, 'supernode', now)
  }

  /** The version is now known for sure: go on with what is stored of it, or start anew, or fail if another one is half way. */
  #settleVersion(version: Version, by: 'supernode' | 'origin', now: number): void {
    if (this.version?.generation !== version.generation || contradicts(this.version, version)) {
      if (this.isConfirmed) {
        return this.#fail('ORIGIN_CHANGED', 'the content at the origin changed during the download')
      }
      this.#confirmedBy = by
      return this.#adopt(version)
    }
    if (this.#confirmedBy === null) {
      this.#confirmedBy = by
      for (const piece of this.held.members()) this.bytes.local += this.#bytesOf(piece)
    }
    this.#learnLength(version.layout.lengthBytes)
    if (this.phase === 'announcing') this.phase = 'receiving'
    this.#goOn(now)
  }

  #adopt(version: Version): void {
    this.version = version
    this.held = new Bitmap(this.pieceCount ?? 64)
    this.phase = 'preparing'
    this.#effects.push({ type: 'adopt', version })
  }

  #onPrepared(now: number): void {
    this.phase = 'receiving'
    for (const event of this.#deferred.splice(0)) this.#handle(event, now)
    if (this.phase === 'receiving') this.#goOn(now)
  }

  #learnLength(lengthBytes: number | null): void {
    if (!this.version || lengthBytes === null || this.version.layout.lengthBytes !== null) return
    this.version = { ...this.version, layout: { ...this.version.layout, lengthBytes } }
    this.held.resize(pieceCount(this.version.layout))
    this.#effects.push({ type: 'seal', lengthBytes })
  }

  #bytesOf(piece: number): number {
    const { lengthBytes, pieceLength } = this.version!.layout
    return lengthBytes === null ? pieceLength : Math.min(pieceLength, lengthBytes - piece * pieceLength)
  }

  #onAssigned(pieces: readonly PieceFrom[], now: number): void {
    this.#hear(now)
    for (const { piece, source } of pieces) {
      this.#known.meet(source)
      const isWanted = this.phase === 'receiving' && this.#isPiece(piece) && !this.held.has(piece)
      if (isWanted && this.#digests.has(piece) && !this.#known.isBanned(source, now))
        this.#fetch(piece, source, now)
      else this.#report.released.push({ piece, source })
    }
  }

  #isPiece(piece: number): boolean {
    return this.pieceCount === null || piece < this.pieceCount
  }

  #fetch(piece: number, source: SourceId, now: number): void {
    if (this.#onTheirWay.some(entry => entry.piece === piece && entry.source === source)) return
    this.#onTheirWay.push({ piece, source, since: now, isSlow: false })
    this.#effects.push({ type: 'fetch', piece, source })
  }

  /** Takes an entry off the list; false if it was given up before. */
  #settle(piece: number, source: SourceId): boolean {
    const at = this.#onTheirWay.findIndex(entry => entry.piece === piece && entry.source === source)
    if (at < 0) return false
    this.#onTheirWay.splice(at, 1)
    return true
  }

  #release(piece: number, source: SourceId): void {
    if (!this.#settle(piece, source)) return
    this.#effects.push({ type: 'cancel-fetch', piece, source })
    this.#report.released.push({ piece, source })
  }

  #onFetched(event: Extract<DownloadEvent, { type: 'fetched' }>, now: number): void {
    const { piece, source } = event
    this.#settle(piece, source)
    this.#movedAt = now
    this.#pace.record(event.elapsedMs)
    this.usedSources.add(source)
    this.bytes[source === this.seedSource ? 'supernode' : 'peers'] += event.bytes
    this.#report.done.push({ piece, source, elapsedMs: event.elapsedMs })
    this.#hold(piece)
    this.#goOn(now)
  }

  #hold(piece: number): void {
    if (piece >= this.held.size) this.held.resize(Math.max(piece + 1, this.held.size * 2))
    this.held.add(piece)
    for (const rival of this.#onTheirWay.filter(entry => entry.piece === piece))
      this.#release(piece, rival.source)
  }

  #onFetchFailed(piece: number, source: SourceId, code: ErrorCode, now: number): void {
    if (!this.#settle(piece, source)) return
    this.retries++
    this.#report.failed.push({ piece, source, code })
    const isLie = code === 'DIGEST_MISMATCH' || code === 'PROTOCOL_INVALID'
    if (isLie) this.#known.ban(source, now, source !== this.seedSource)
    else if (this.#supernode.state !== 'joined') this.#known.ban(source, now)
    this.#goOn(now)
  }

  #onRefused(code: ErrorCode, message: string, now: number): void {
    const isTheSupernodesOwn =
      code.startsWith('SUPERNODE_') || code === 'DISK_FULL' || code === 'DISK_ERROR' || code === 'INTERNAL'
    if (!isTheSupernodesOwn) return this.#fail(code, message)
    this.#supernode = { state: 'lost', aloneAt: now + jitter(this.#random, this.#limits.graceMs) }
  }

  #onSupernodeLost(now: number): void {
    if (this.#supernode.state === 'lost' || this.#supernode.state === 'none') return
    this.#supernode = { state: 'lost', aloneAt: now + jitter(this.#random, this.#limits.graceMs) }
  }

  #onOriginAnswered(kind: 'content' | 'unchanged', version: Version, now: number): void {
    this.#movedAt = now
    if (kind === 'unchanged' && this.version) return this.#settleVersion(this.version, 'origin', now)
    this.#settleVersion(version, 'origin', now)
  }

  #onOriginPiece(piece: number, bytes: number, now: number): void {
    this.#originAttempts = 0
    this.#movedAt = now
    this.bytes.origin += bytes
    this.#digests.add(piece)
    if (!this.held.has(piece)) this.#report.fromOrigin.push(piece)
    this.#hold(piece)
    this.#finishIfFull()
  }

  #onOriginEnded(now: number): void {
    if (this.#origin.state !== 'open') return
    this.#origin = { state: 'idle' }
    this.usedSources.add('origin')
    this.#goOn(now)
  }

  #onOriginFailed(code: ErrorCode, message: string, now: number): void {
    if (this.#origin.state !== 'open') return
    this.#originAttempts++
    this.retries++
    const mayRetry = ERROR_TABLE[code].isRetryable && code !== 'ORIGIN_CHANGED' && code !== 'CANCELLED'
    if (!mayRetry || this.#originAttempts >= this.#limits.originTries) {
      this.#origin = { state: 'idle' }
      return this.#fail(code, message)
    }
    const delayMs = jitter(this.#random, 250 * 2 ** this.#originAttempts)
    this.#origin = { state: 'backoff', until: now + delayMs }
  }

  #onTick(now: number): void {
    this.#lookAtSlowSources(now)
    this.#lookAtSupernode(now)
    const isAlone = this.#supernode.state === 'lost' || this.#supernode.state === 'none'
    if (isAlone && this.phase !== 'verifying' && now - this.#movedAt > this.#limits.stallMs) {
      return this.#fail(
        'DOWNLOAD_STALLED',
        `nothing was received for ${Math.round(this.#limits.stallMs / 1000)} s`,
      )
    }
    this.#goOn(now)
  }

  #lookAtSlowSources(now: number): void {
    for (const entry of [...this.#onTheirWay]) {
      const ageMs = now - entry.since
      if (ageMs > this.#pace.abandonAfterMs) {
        this.#effects.push({ type: 'cancel-fetch', piece: entry.piece, source: entry.source })
        this.#onFetchFailed(entry.piece, entry.source, 'SOURCE_SLOW', now)
      } else if (!entry.isSlow && ageMs > this.#pace.hedgeAfterMs) {
        entry.isSlow = true
        this.#report.slow.push(entry.piece)
      }
    }
  }

  #lookAtSupernode(now: number): void {
    const supernode = this.#supernode
    if (supernode.state !== 'joined' || this.phase !== 'receiving') return
    if (now - supernode.heardAt > this.#limits.silenceMs) {
      this.#supernode = { state: 'lost', aloneAt: now }
      return
    }
    const idleMs = Math.min(now - this.#movedAt, now - supernode.resyncedAt)
    if (this.#onTheirWay.length === 0 && idleMs > this.#limits.silenceMs / 4) {
      supernode.resyncedAt = now
      this.#effects.push({ type: 'announce' })
    }
  }

  /** Completes if everything is there; otherwise, without a supernode, looks for the next thing to fetch. */
  #goOn(now: number): void {
    this.#finishIfFull()
    if (this.phase === 'announcing' || this.phase === 'receiving') {
      const supernode = this.#supernode
      if (supernode.state === 'none' || (supernode.state === 'lost' && now >= supernode.aloneAt))
        this.#goOnAlone(now)
    }
  }

  #goOnAlone(now: number): void {
    if (this.#origin.state === 'backoff' && now >= this.#origin.until) this.#origin = { state: 'idle' }
    if (this.phase === 'receiving') this.#fetchFromKnown(now)
    if (this.#origin.state === 'idle') this.#openOrigin(now)
  }

  #fetchFromKnown(now: number): void {
    for (const source of this.#known.takeToAsk(now)) this.#effects.push({ type: 'ask-held', source })
    while (this.#onTheirWay.length < this.#limits.window) {
      const isWanted = (piece: number) =>
        this.#isPiece(piece) && this.#digests.has(piece) && !this.held.has(piece) && !this.#isComing(piece)
      const isFree = (source: SourceId) =>
        this.#onTheirWay.filter(entry => entry.source === source).length < this.#limits.perSource
      const found = this.#known.pick(isWanted, isFree, this.#random)
      if (!found) return
      this.#fetch(found.piece, found.source, now)
    }
  }

  #isComing(piece: number): boolean {
    return this.#onTheirWay.some(entry => entry.piece === piece)
  }

  #openOrigin(now: number): void {
    const count = this.pieceCount
    if (this.version === null) return this.#open('fresh', 0, null)
    if (count === null) return this.#open('resume', this.held.firstMissing(), null)
    if (this.held.count === count) return this.isConfirmed ? undefined : this.#open('revalidate', 0, null)
    const gap = this.#known.firstGap(this.held, count, piece => this.#isComing(piece))
    if (gap) this.#open('resume', gap.from, gap.until === count ? null : gap.until)
    else if (this.#onTheirWay.length === 0 && now - this.#movedAt > this.#limits.stallMs / 4) {
      this.#open('resume', this.held.firstMissing(), null)
    }
  }

  #open(mode: OriginMode, fromPiece: number, untilPiece: number | null): void {
    this.#origin = { state: 'open', mode, from: fromPiece, until: untilPiece }
    this.#effects.push({ type: 'open-origin', mode, fromPiece, untilPiece })
  }

  #closeOrigin(): void {
    if (this.#origin.state === 'open') this.#effects.push({ type: 'close-origin' })
    this.#origin = { state: 'idle' }
  }

  #finishIfFull(): void {
    if (this.phase !== 'receiving' || this.held.count !== this.pieceCount) return
    this.#closeOrigin()
    this.phase = 'verifying'
    this.#effects.push({ type: 'verify' })
  }

  #fail(code: ErrorCode, message: string): void {
    this.#closeOrigin()
    for (const { piece, source } of this.#onTheirWay.splice(0)) {
      this.#effects.push({ type: 'cancel-fetch', piece, source })
    }
    this.phase = 'failed'
    this.#effects.push({ type: 'fail', code, message, isDiscarded: DISCARDING.test(code) })
  }

  /** For records and announces. */
  get generation(): Generation | null {
    return this.version?.generation ?? null
  }
}

const DEFERRED_WHILE_PREPARING = new Set([
  'assigned',
  'layout',
  'origin-length',
  'origin-piece',
  'origin-ended',
])

/** Failures after which what was received is of no use to a later run on this host. */
const DISCARDING = /^(ORIGIN_|DIGEST_MISMATCH)/

/** The same validator for two lengths: one of them is wrong. */
function contradicts(known: Version, said: Version): boolean {
  const lengths = [known.layout.lengthBytes, said.layout.lengthBytes]
  return !lengths.includes(null) && lengths[0] !== lengths[1]
}
