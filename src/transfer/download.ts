import type { Digest } from '../core/digest.ts'
import type { ErrorCode } from '../core/error.ts'
import { jitter, type Random } from '../core/random.ts'
import type { Version } from '../core/version.ts'
import { Content } from './content.ts'
import { type DownloadLimits, type DownloadStart, SUPERNODE_STALLS } from './download-options.ts'
import {
  type DownloadEffect,
  type DownloadEvent,
  FROM_SUPERNODE,
  HANDLED_WHILE_PREPARING,
  type InsideEvent,
  type PieceFrom,
  type SourceId,
} from './events.ts'
import { Exchange } from './exchange.ts'
import { isDiscarding, isOfSupernode, mayAskOriginAgain } from './failure.ts'
import { LivedTime } from './lived-time.ts'
import { isWorthStartingElsewhere, pickStretch } from './origin-stretch.ts'
import { OriginTurn } from './origin-turn.ts'
import { Progress } from './progress.ts'
import type { ReportBatch } from './report-batch.ts'
import { SupernodeView } from './supernode-view.ts'
import { Waits, waitReason } from './waits.ts'

/**
 * One download as a state machine: events and `now` in, effects out; no I/O, no timers, deterministic. The supernode's CDN is the same
 * machine without a supernode: its only source is the origin. Its time is `LivedTime`, in which a machine that was suspended lost nothing.
 *
 *   announcing ─► preparing ─► receiving ─► verifying ─► complete
 *        └────────────┴────────────┴────────────┴──────► failed
 *
 * Orders of fall-back while receiving: assigned sources → sources already known → origin for the missing pieces only → error. What
 * can go wrong, and what happens then, is in download.test.ts, download-supernode.test.ts and download-alone.test.ts.
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
  readonly waits: Waits
  readonly #time: LivedTime
  readonly #limits: DownloadLimits
  readonly #random: Random
  readonly #exchange: Exchange
  readonly #deferred: DownloadEvent[] = []
  readonly #supernode: SupernodeView
  readonly #origin: OriginTurn
  /** Who confirmed that the version is current; null while it is only what an earlier run left. */
  #confirmedBy: 'supernode' | 'origin' | null = null
  readonly #progress: Progress
  /** What the origin said last, for whoever waits in vain. */
  #originSaid = ''
  readonly #effects: DownloadEffect[] = []

  constructor(start: DownloadStart, now: number) {
    this.#time = new LivedTime(now)
    this.#limits = start.limits
    this.#random = start.random
    this.#supernode = new SupernodeView(start.hasSupernode, now)
    this.#progress = new Progress(now)
    this.content = new Content(start)
    const emit = (effect: DownloadEffect) => void this.#effects.push(effect)
    this.#origin = new OriginTurn(start, emit)
    this.#exchange = new Exchange({ ...start, content: this.content, emit })
    this.waits = new Waits(start.hasSupernode ? 'layout' : 'origin', now)
  }

  /** The first effects. With a supernode there are none: the engine announces whenever it has a channel. */
  begin(clockNow: number): DownloadEffect[] {
    const now = this.#time.at(clockNow)
    this.#goOn(now)
    return this.#leave(now)
  }

  step(event: DownloadEvent, clockNow: number): DownloadEffect[] {
    const now = this.#time.at(clockNow)
    if (!this.isOver) this.#handle(event, now)
    else if (event.type === 'assigned' && this.phase === 'complete' && !this.#supernode.isDismissed) {
      this.#exchange.decline(event.pieces)
    }
    return this.#leave(now)
  }

  get isOver(): boolean {
    return this.phase === 'complete' || this.phase === 'failed'
  }

  /** Whether the version is settled, so that what is held may be offered to others. */
  get isConfirmed(): boolean {
    return this.#confirmedBy !== null
  }

  /** Whether the version stays what it is, whatever the supernode says: everything is here, or the origin has said so. */
  get isSettledHere(): boolean {
    return this.#confirmedBy === 'origin' || this.phase === 'verifying' || this.phase === 'complete'
  }

  /** Age at which a piece on its way is late. */
  get hedgeAfterMs(): number {
    return this.#exchange.inFlight.hedgeAfterMs
  }

  /** What the supernode is to be told; empties the batch. */
  takeReport(): ReportBatch {
    return this.#exchange.takeReport()
  }

  get seedSource(): SourceId | null {
    return this.#exchange.seedSource
  }

  set seedSource(source: SourceId | null) {
    this.#exchange.seedSource = source
  }

  #handle(event: DownloadEvent, now: number): void {
    if (this.phase === 'preparing' && !HANDLED_WHILE_PREPARING.has(event.type)) {
      this.#deferred.push(event)
      return
    }
    switch (event.type) {
      case 'prepared':
        return this.#onPrepared(now)
      case 'moved':
        if (event.bytes > 0) this.#progress.move(now)
        return
      case 'reader-moved':
        return this.#exchange.moveReader(event.reader)
      case 'verified':
        return this.#onVerified(event.digest)
      case 'stored-failed':
        return this.#fail(event.code, event.message)
      case 'tick':
        return this.#onTick(now)
      case 'cancelled':
        return this.#fail('CANCELLED', 'the download was cancelled')
      default:
        return this.#handleOutside(event, now)
    }
  }

  /** What the supernode, other hosts or the origin said. */
  #handleOutside(event: Exclude<DownloadEvent, InsideEvent>, now: number): void {
    if (FROM_SUPERNODE.has(event.type)) this.#supernode.hear(now)
    switch (event.type) {
      case 'layout':
        return this.#onLayout(event, now)
      case 'digests':
        if (!this.#supernode.isDismissed) this.content.learnDigests(event.pieces)
        return
      case 'assigned':
        return this.#onAssigned(event.pieces, now)
      case 'revoked':
        return this.#exchange.release(event.pieces)
      case 'status':
        this.#progress.onOriginBytes(event.originBytes, now)
        this.peers = event.peers
        return
      case 'refused':
        return this.#onRefused(event.code, event.message, now)
      case 'supernode-lost':
        return this.#loseSupernode(now, jitter(this.#random, this.#limits.graceMs))
      case 'supernode-unavailable':
        if (this.#isHelpless) return this.#fail('SUPERNODE_UNREACHABLE', 'no supernode can be reached')
        this.#loseSupernode(now, 0)
        return this.#goOn(now)
      case 'fetched':
        return this.#onFetched(event, now)
      case 'fetch-failed':
        // Only what was given up before is cancelled; by now the same fetch may have been ordered anew.
        if (event.code !== 'CANCELLED') this.#onFetchFailed(event.piece, event.source, event.code, now)
        return
      case 'source-holds':
        this.#exchange.known.holds(event.source, event.pieces, now)
        return this.#goOn(now)
      case 'source-silent':
        this.#exchange.known.ban(event.source, now)
        return this.#goOn(now)
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
    }
  }

  /** Without the supernode there is nowhere to begin. */
  get #isHelpless(): boolean {
    return this.phase === 'announcing' && !this.#origin.permit.isGiven
  }

  #leave(now: number): DownloadEffect[] {
    const isWaiting = !this.isOver && this.#exchange.inFlight.count === 0
    this.waits.switchTo(isWaiting ? waitReason(this.phase, this.#origin, this.#supernode) : null, now)
    return this.#effects.splice(0)
  }

  #onLayout(event: Extract<DownloadEvent, { type: 'layout' }>, now: number): void {
    const isSame = this.content.isAlike(event.version)
    if (!isSame && (this.isSettledHere || (this.isConfirmed && this.content.isVersion(event.version)))) {
      return this.#supernode.dismiss()
    }
    this.#supernode.join(now)
    this.#origin.close()
    if (event.digest) this.digest = event.digest
    if (event.originShare) this.#origin.permit.learn(event.originShare)
    this.#settleVersion(event.version, { by: 'supernode', isSame }, now)
    this.content.learnDigests(event.knownDigests)
  }

  /** The version is now known for sure: go on with what is stored of it, or start anew, or fail if another one is half way. */
  #settleVersion(version: Version, said: { by: 'supernode' | 'origin'; isSame: boolean }, now: number): void {
    if (!said.isSame) {
      if (this.isConfirmed) {
        return this.#fail('ORIGIN_CHANGED', 'the content at the origin changed during the download')
      }
      this.#confirmedBy = said.by
      this.content.adopt(version)
      this.phase = 'preparing'
      this.#effects.push({ type: 'adopt', version })
      return
    }
    if (this.#confirmedBy === null) {
      this.#confirmedBy = said.by
      this.bytes.local = this.content.heldBytes
    }
    this.#learnLength(version.layout.lengthBytes)
    if (this.phase === 'announcing') this.phase = 'receiving'
    this.#goOn(now)
  }

  #onPrepared(now: number): void {
    this.phase = 'receiving'
    for (const event of this.#deferred.splice(0)) if (!this.isOver) this.#handle(event, now)
    if (this.phase === 'receiving') this.#goOn(now)
  }

  #onVerified(digest: Digest | null): void {
    this.digest ??= digest
    this.phase = 'complete'
    this.#effects.push({ type: 'complete', digest })
  }

  #learnLength(lengthBytes: number | null): void {
    if (this.content.learnLength(lengthBytes)) this.#effects.push({ type: 'seal', lengthBytes: lengthBytes! })
  }

  #onAssigned(pieces: readonly PieceFrom[], now: number): void {
    // Pieces of another version; the supernode has them back when the download leaves.
    if (this.#supernode.isDismissed) return
    if (this.phase === 'receiving') this.#exchange.assign(pieces, now)
    else this.#exchange.decline(pieces)
  }

  #onFetched(event: Extract<DownloadEvent, { type: 'fetched' }>, now: number): void {
    const { piece, source } = event
    this.#progress.move(now)
    this.usedSources.add(source)
    this.#exchange.finish(piece, source, event.elapsedMs)
    this.#hold(piece, { kind: source === this.seedSource ? 'supernode' : 'peers', bytes: event.bytes }, now)
    this.#goOn(now)
  }

  /** The same piece may arrive twice; its bytes count once. */
  #hold(piece: number, from: { kind: 'origin' | 'supernode' | 'peers'; bytes: number }, now: number): void {
    if (!this.content.held.has(piece)) {
      this.bytes[from.kind] += from.bytes
      this.#progress.hold(now)
    }
    this.#exchange.hold(piece)
  }

  #onFetchFailed(piece: number, source: SourceId, code: ErrorCode, now: number): void {
    if (!this.#exchange.fail({ piece, source, code }, now, !this.#supernode.isJoined)) return
    this.retries++
    this.#progress.fail()
    this.#goOn(now)
  }

  #onRefused(code: ErrorCode, message: string, now: number): void {
    const isOfNoConcern = this.#supernode.isDismissed || this.phase === 'verifying'
    if (!isOfNoConcern && !isOfSupernode(code)) return this.#fail(code, message, true)
    if (this.#isHelpless) return this.#fail('REGISTRATION_REFUSED', `the supernode refuses: ${message}`)
    const wasJoined = this.#supernode.isJoined
    this.#loseSupernode(now, jitter(this.#random, this.#limits.graceMs))
    this.#supernode.refuse(now, this.#random, wasJoined)
  }

  /** The time without it begins now, whatever was waited for until now. */
  #loseSupernode(now: number, graceMs: number, wasSilent = false): void {
    if (this.#supernode.lose(now + graceMs, wasSilent)) this.#progress.restart(now)
  }

  #onOriginAnswered(kind: 'content' | 'unchanged', version: Version, now: number): void {
    this.#progress.move(now)
    const settled = (kind === 'unchanged' && this.content.version) || version
    this.#settleVersion(settled, { by: 'origin', isSame: this.content.isVersion(settled) }, now)
    if (this.#origin.isFresh && isWorthStartingElsewhere(this.content)) this.#origin.close()
  }

  #onOriginPiece(piece: number, bytes: number, now: number): void {
    this.#origin.progress()
    this.#progress.move(now)
    this.content.learnDigests([piece])
    this.#exchange.reportFromOrigin(piece)
    this.#hold(piece, { kind: 'origin', bytes }, now)
    this.#finishIfFull()
  }

  #onOriginEnded(now: number): void {
    if (!this.#origin.isOpen) return
    this.usedSources.add('origin')
    if (!this.content.isFull && !this.#origin.isFruitful) {
      return this.#onOriginFailed('ORIGIN_TRUNCATED', 'the origin ended without a missing piece', now)
    }
    this.#origin.end()
    this.#goOn(now)
  }

  /** While others may still bring the missing pieces the origin is tried on; otherwise its tries are counted. */
  #onOriginFailed(code: ErrorCode, message: string, now: number): void {
    if (!this.#origin.isOpen) return
    this.retries++
    this.#progress.fail()
    this.#originSaid = `; the origin: ${message}`
    const isTryLeft = this.#origin.fail(now, this.#random)
    const mayOthersHelp =
      this.#exchange.inFlight.count > 0 || (this.#supernode.isLost && this.phase === 'receiving')
    if (!mayAskOriginAgain(code) || !(isTryLeft || mayOthersHelp)) this.#fail(code, message)
  }

  #onTick(now: number): void {
    const abandoned = this.#exchange.takeLate(now)
    for (const { piece, source } of abandoned) this.#onFetchFailed(piece, source, 'SOURCE_SLOW', now)
    this.#lookAtSupernode(now)
    const isWatchedHere = this.#supernode.isAbsent && this.phase !== 'verifying'
    if (isWatchedHere && this.#progress.isStalled(now, this.#limits.stallMs, this.#origin.isOpen)) {
      const seconds = Math.round((now - this.#progress.aliveAt) / 1000)
      return this.#fail('DOWNLOAD_STALLED', `nothing useful was received for ${seconds} s${this.#originSaid}`)
    }
    this.#goOn(now)
  }

  #lookAtSupernode(now: number): void {
    if (this.phase !== 'receiving' && this.phase !== 'announcing') return
    const { silenceMs, stallMs } = this.#limits
    const patienceMs = SUPERNODE_STALLS * stallMs
    if (this.#supernode.isSilent(now, { silenceMs, layoutMs: patienceMs })) this.#loseSupernode(now, 0, true)
    if (this.#supernode.isJoined && this.#progress.isStalled(now, patienceMs)) this.#loseSupernode(now, 0)
    const idleSince = this.#exchange.inFlight.count === 0 ? this.#progress.aliveAt : now
    if (this.#supernode.takeResync(now, { idleSince, periodMs: silenceMs / 4 })) {
      this.#effects.push({ type: 'announce' })
    }
  }

  /**
   * Completes if everything is there; otherwise, without a supernode, looks for the next thing to fetch: from other hosts at once, from the
   * origin when the supernode has not come back for a while.
   */
  #goOn(now: number): void {
    this.#finishIfFull()
    const isUnderWay = this.phase === 'announcing' || this.phase === 'receiving'
    if (!isUnderWay || !this.#supernode.isAbsent) return
    if (this.phase === 'receiving') this.#exchange.fetchFromKnown(now)
    if (this.#supernode.isAlone(now) && this.#origin.isFree(now, this.#progress.heldAt)) this.#openOrigin(now)
  }

  #openOrigin(now: number): void {
    const isStuck = now - this.#progress.heldAt > this.#limits.stallMs / 4
    const how = { isConfirmed: this.isConfirmed, isStuck, permit: this.#origin.permit }
    const stretch = pickStretch(this.content, this.#exchange, how)
    if (stretch) this.#origin.open(stretch)
  }

  #finishIfFull(): void {
    if (this.phase !== 'receiving' || !this.content.isFull) return
    this.#origin.close()
    this.phase = 'verifying'
    this.#effects.push({ type: 'verify' })
  }

  /** @param isKeptElsewhere the CDN holds what was received, for all */
  #fail(code: ErrorCode, message: string, isKeptElsewhere = false): void {
    this.#origin.close()
    this.#exchange.cancelAll()
    this.phase = 'failed'
    this.#effects.push({ type: 'fail', code, message, isDiscarded: isDiscarding(code, isKeptElsewhere) })
  }
}
