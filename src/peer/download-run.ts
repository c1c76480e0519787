import { assert } from '../core/assert.ts'
import type { Digest } from '../core/digest.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { redactUrl } from '../core/filter-url.ts'
import { hasValidator } from '../core/generation.ts'
import { formatHostPort } from '../core/host-port.ts'
import { PieceDigests } from '../core/piece-digests.ts'
import { RateMeter } from '../core/rate-meter.ts'
import type { Version } from '../core/version.ts'
import type { TaskFile } from '../store/task-file.ts'
import { Download } from '../transfer/download.ts'
import type { DownloadEffect, DownloadEvent } from '../transfer/events.ts'
import type { Reader } from '../transfer/reader.ts'
import { isEmptyReport } from '../transfer/report-batch.ts'
import type { RunResult, RunSnapshot } from '../wire/local.ts'
import { ContentHash } from './content-hash.ts'
import type { Engine, TaskRequest } from './engine.ts'
import { OriginReader, type OriginReaderHost } from './origin-reader.ts'
import { PieceFetcher, type PieceFetcherHost } from './piece-fetcher.ts'
import { RunJournal } from './run-journal.ts'
import type { RunObserver, RunOptions } from './run-options.ts'
import { RunReaders } from './run-readers.ts'
import { resultOf, snapshotOf } from './run-report.ts'
import { verifyContent } from './run-verification.ts'
import { openStored, storedContent } from './stored-content.ts'
import type { TaskLink, TaskLinkHandler } from './task-link.ts'
import { announceMessage, digestsIn, originShareIn, reportMessage, versionIn } from './translate.ts'

/**
 * Carries out one download: feeds the state machine of `transfer/` with what happens on sockets and disk, and does what it asks for.
 * Without a link its only source is the origin; that is how the CDN fills.
 */

const TICK_MS = 200

export class DownloadRun {
  readonly request: TaskRequest
  /** Settles once, with the result or with a DragonflyError. */
  readonly done: Promise<RunResult>
  /** Where the pieces are; null until the version is settled. */
  file: TaskFile | null = null
  /** Authorises fetching this version's pieces; empty where nobody may. */
  token = ''
  /** Where the time goes, and who brings what. */
  readonly journal: RunJournal
  /** Whether it is the whole content, as promised; only syncing and moving may be left. */
  isWhole = false
  readonly readers: RunReaders
  readonly #engine: Engine
  readonly #observer: RunObserver
  readonly #startedAt: number
  readonly #originReader: OriginReader
  readonly #knownDigests = new PieceDigests()
  readonly #fetcher: PieceFetcher
  /** Where the whole's digest was promised. */
  readonly #hash: ContentHash | null
  readonly #meter: RateMeter
  #machine!: Download
  #link: TaskLink | null = null
  /** The supernode that last answered. */
  #node: string | null = null
  #preparing: Promise<void> = Promise.resolve()
  #movedBytes = 0
  #cancelTick = () => {}
  #isReportDue = false
  #isVersionNoticed = false
  #settle!: { resolve: (result: RunResult) => void; reject: (error: DragonflyError) => void }

  private constructor(engine: Engine, request: TaskRequest, observer: RunObserver) {
    this.#engine = engine
    this.request = request
    this.#observer = observer
    this.#startedAt = engine.clock.now()
    this.#meter = new RateMeter(this.#startedAt)
    this.journal = new RunJournal(engine.clock)
    const moveReader = (reader: Reader) => this.#dispatch({ type: 'reader-moved', reader })
    this.readers = new RunReaders(request.reader ?? null, moveReader)
    this.#hash = request.expectedDigest === null ? null : new ContentHash()
    this.#fetcher = new PieceFetcher(this.#fetcherHost())
    this.#originReader = new OriginReader(this.#originHost())
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.done.catch(() => {})
  }

  static async start(engine: Engine, request: TaskRequest, options: RunOptions): Promise<DownloadRun> {
    const run = new DownloadRun(engine, request, options.observer ?? {})
    await run.#begin(options)
    return run
  }

  get isOver(): boolean {
    return this.#machine.isOver
  }

  get isComplete(): boolean {
    return this.#machine.phase === 'complete'
  }

  /** The settled version, or null. */
  get version(): Version | null {
    return this.#machine.isConfirmed ? this.#machine.content.version : null
  }

  get originBytes(): number {
    return this.#originReader.bytes
  }

  /** Digests of all pieces held. */
  get digests(): PieceDigests {
    return this.file?.digests ?? this.#knownDigests
  }

  /** Whether others may fetch from here: only settled versions, only until the run failed. */
  get isShared(): boolean {
    return (
      this.#machine.isConfirmed && this.#machine.phase !== 'failed' && this.file !== null && this.token !== ''
    )
  }

  /** Leaves the swarm. What is stored stays. */
  async close(): Promise<void> {
    this.#dispatch({ type: 'cancelled' })
    this.#leaveSwarm()
  }

  snapshot(): RunSnapshot {
    const rateBytesPerSecond = this.#meter.rate(this.#engine.clock.now())
    return snapshotOf(this.#machine, { taskId: this.request.taskId, node: this.#node, rateBytesPerSecond })
  }

  async #begin({ openLink, mayUse }: RunOptions): Promise<void> {
    const { store, clock, random, limits } = this.#engine
    const hasSupernode = openLink !== undefined
    const isUsable = (file: TaskFile) =>
      hasSupernode || hasValidator(file.validator) || this.request.expectedDigest !== null
    this.file = await openStored(store, this.request.taskId, mayUse ?? isUsable)
    const stored = this.file && storedContent(this.file)
    const { mayReadOrigin, reader } = this.request
    this.#machine = new Download({ hasSupernode, mayReadOrigin, reader, limits, random, stored }, clock.now())
    if (openLink) this.#link = openLink(this.#linkHandler())
    const effects = openLink ? [] : this.#machine.begin(clock.now())
    this.journal.note(null, effects, this.#machine)
    this.#perform(effects)
    this.#scheduleTick()
  }

  #linkHandler(): TaskLinkHandler {
    return {
      onReady: seed => {
        this.#machine.seedSource = seed
        if (this.#link?.node) this.#node = formatHostPort(this.#link.node)
        this.#announce()
      },
      onLost: () => this.#dispatch({ type: 'supernode-lost' }),
      onUnavailable: () => this.#dispatch({ type: 'supernode-unavailable' }),
      onLayout: message => {
        const version = versionIn(message)
        const { digest } = message
        if (this.#isOfAnotherSwarm(version)) {
          this.#leaveSwarm()
          return this.#dispatch({ type: 'layout', version, digest, knownDigests: [] })
        }
        const knownDigests = this.#learnDigests(digestsIn(message))
        this.token = message.token
        this.#dispatch({ type: 'layout', version, digest, knownDigests, ...originShareIn(message) })
        if (message.inline) void this.#storeInline(message.inline)
      },
      onDigests: message =>
        this.#dispatch({ type: 'digests', pieces: this.#learnDigests(digestsIn(message)) }),
      onAssigned: pieces => this.#dispatch({ type: 'assigned', pieces }),
      onRevoked: pieces => this.#dispatch({ type: 'revoked', pieces }),
      onStatus: ({ peers, originBytes }) => this.#dispatch({ type: 'status', peers, originBytes }),
      onError: (code, message) => this.#dispatch({ type: 'refused', code, message }),
    }
  }

  /** A run that has everything, or has gone on alone, cannot change over to the swarm of another version. */
  #isOfAnotherSwarm(version: Version): boolean {
    return this.#machine.isSettledHere && !this.#machine.content.isAlike(version)
  }

  #leaveSwarm(): void {
    this.#link?.close()
    this.#link = null
  }

  #learnDigests(pieces: ReturnType<typeof digestsIn>): number[] {
    for (const { piece, digest, prefix } of pieces) this.#knownDigests.set(piece, digest, prefix)
    return pieces.map(({ piece }) => piece)
  }

  #announce(): void {
    this.#link?.send(announceMessage(this.request, this.#machine))
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#engine.clock.schedule(TICK_MS, () => {
      this.#dispatch({ type: 'moved', bytes: this.#movedBytes })
      this.#movedBytes = 0
      this.#dispatch({ type: 'tick' })
      if (!this.isOver) this.#scheduleTick()
    })
  }

  #dispatch(event: DownloadEvent): void {
    const effects = this.#machine.step(event, this.#engine.clock.now())
    this.journal.note(event, effects, this.#machine)
    this.#perform(effects)
    this.#noticeVersion()
    this.readers.tell()
    if (this.#isReportDue || this.#link === null) return
    this.#isReportDue = true
    setImmediate(() => {
      this.#isReportDue = false
      const report = this.#machine.takeReport()
      if (this.#link && !isEmptyReport(report)) {
        this.#link.send(reportMessage(this.request.taskId, report, this.#link))
      }
    })
  }

  #noticeVersion(): void {
    const { version } = this
    const { phase } = this.#machine
    if (this.#isVersionNoticed || !version || phase === 'preparing' || phase === 'failed') return
    this.#isVersionNoticed = true
    this.#observer.onVersion?.(version)
  }

  #perform(effects: readonly DownloadEffect[]): void {
    for (const effect of effects) this.#performOne(effect)
  }

  #performOne(effect: DownloadEffect): void {
    switch (effect.type) {
      case 'announce':
        return this.#announce()
      case 'adopt':
        this.#preparing = this.#adopt(effect.version)
        return
      case 'seal':
        this.#preparing = this.#preparing.then(() => this.#seal(effect.lengthBytes))
        return
      case 'fetch':
        void this.#fetcher.fetch(effect.piece, effect.source)
        return
      case 'cancel-fetch':
        return this.#fetcher.cancel(effect.piece, effect.source)
      case 'ask-held':
        void this.#fetcher.askHeld(effect.source, this.#machine.content.version?.generation)
        return
      case 'open-origin':
        void this.#originReader.read(effect)
        return
      case 'close-origin':
        return this.#originReader.close()
      case 'verify':
        return void this.#verify()
      case 'complete':
        this.#cancelTick()
        return this.#settle.resolve(this.#result(effect.digest))
      case 'fail':
        this.#cancelTick()
        void this.#onFailed(new DragonflyError(effect.code, effect.message), effect.isDiscarded)
        return
    }
  }

  async #adopt(version: Version): Promise<void> {
    await this.#orFail(async () => {
      this.file = await this.#engine.store.create({
        taskId: this.request.taskId,
        name: this.request.name,
        url: redactUrl(this.request.url),
        generation: version.generation,
        validator: version.validator,
        layout: version.layout,
      })
      this.file.writeBack.isAtEnd = this.request.waitsForDisk === false
      this.#dispatch({ type: 'prepared' })
    })
  }

  async #seal(lengthBytes: number): Promise<void> {
    await this.#orFail(async () => {
      await this.file?.seal(lengthBytes)
      this.#observer.onLength?.(lengthBytes)
    })
  }

  async #storeInline(content: Uint8Array): Promise<void> {
    await this.#preparing
    if (this.isOver) return
    this.journal.storing()
    await this.#fetcher.storeInline(content, this.#machine.seedSource ?? 'supernode')
  }

  #fetcherHost(): PieceFetcherHost {
    return {
      engine: this.#engine,
      request: this.request,
      knownDigests: this.#knownDigests,
      hash: this.#hash,
      dispatch: event => this.#dispatch(event),
      file: () => this.file,
      layout: () => this.#machine.content.version!.layout,
      token: () => this.token,
      addressOf: source => this.#link?.addressOf(source) ?? null,
      onBytes: bytes => this.#count(bytes),
      receiver: (piece, source) => this.journal.receiver(piece, source),
      onPiece: (piece, digest) => this.#onPiece(piece, digest),
    }
  }

  #onPiece(piece: number, digest: Uint8Array): void {
    this.#observer.onPiece?.(piece, digest)
    if (this.file && !this.#originReader.isHashing) this.#hash?.advance(this.file)
  }

  #originHost(): OriginReaderHost {
    return {
      engine: this.#engine,
      request: this.request,
      dispatch: event => this.#dispatch(event),
      version: () => ({ version: this.#machine.content.version, isConfirmed: this.#machine.isConfirmed }),
      preparedFile: async () => {
        await this.#preparing
        return this.file
      },
      expectedDigest: piece => this.#knownDigests.get(piece),
      onBytes: bytes => {
        this.#count(bytes)
        this.journal.originBytes()
      },
      onPiece: (piece, digest) => {
        this.#knownDigests.set(piece, digest)
        this.#onPiece(piece, digest)
      },
    }
  }

  async #verify(): Promise<void> {
    await this.#preparing
    await this.#orFail(async () => {
      const file = this.file!
      const digest = await verifyContent(file, {
        expectedDigest: this.request.expectedDigest,
        knownDigest: this.#machine.digest,
        digestOfStream: lengthBytes => this.#originReader.digestOfStream(lengthBytes),
        hash: this.#hash,
      })
      this.isWhole = true
      if (digest !== null) this.#observer.onDigest?.(digest)
      this.readers.tell()
      this.journal.storing()
      await file.complete(digest)
      this.#dispatch({ type: 'verified', digest })
    })
  }

  /** Of complete content. Known ones cost nothing; others are computed by reading the content once, for all who ask meanwhile. */
  async contentDigest(signal?: AbortSignal): Promise<Digest> {
    assert(this.isComplete && this.file !== null, 'the run is complete')
    return this.#machine.digest ?? this.file.computeDigest(signal)
  }

  async #onFailed(error: DragonflyError, isDiscarded: boolean): Promise<void> {
    this.#hash?.stop()
    await this.#preparing
    // A refusal says nothing about what an earlier run, of somebody else perhaps, has left.
    const isWrong = error.code === 'ORIGIN_CHANGED' || error.code === 'DIGEST_MISMATCH'
    const isOurs = this.#machine.isConfirmed || isWrong
    if (isDiscarded && isOurs) await this.file?.discard().catch(() => {})
    this.#leaveSwarm()
    this.#settle.reject(error)
  }

  async #orFail(action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (thrown) {
      const { code, message } = toDragonflyError(thrown)
      this.#dispatch({ type: 'stored-failed', code, message })
    }
  }

  #count(bytes: number): void {
    this.#movedBytes += bytes
    this.#meter.add(bytes, this.#engine.clock.now())
  }

  #result(digest: Digest | null): RunResult {
    const now = this.#engine.clock.now()
    const { taskId } = this.request
    const what = { taskId, node: this.#node, path: this.file!.path, digest }
    return resultOf(this.#machine, what, { now, startedAt: this.#startedAt, bestRate: this.#meter.best(now) })
  }
}
