import { createHash } from 'node:crypto'
import { Bitmap } from '../core/bitmap.ts'
import { pieceBoundSeconds } from '../core/bound.ts'
import { type Digest, digestOf, sameBytes } from '../core/digest.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { redactUrl } from '../core/filter-url.ts'
import { generationOf, hasValidator } from '../core/generation.ts'
import { PieceDigests } from '../core/piece-digests.ts'
import { layoutFor, pieceCount, pieceRange } from '../core/piece-layout.ts'
import { RateMeter } from '../core/rate-meter.ts'
import type { Version } from '../core/version.ts'
import { randomName } from '../ops/system-random.ts'
import type { OriginAnswer } from '../origin/origin.ts'
import type { TaskFile } from '../store/task-file.ts'
import { Download } from '../transfer/download.ts'
import type { DownloadEffect, DownloadEvent, OriginMode, SourceId } from '../transfer/events.ts'
import { isEmptyReport } from '../transfer/report-batch.ts'
import type { RunResult, RunSnapshot } from '../wire/local.ts'
import type { Engine, TaskRequest } from './engine.ts'
import { pumpOrigin } from './origin-pump.ts'
import type { TaskLink, TaskLinkHandler } from './task-link.ts'
import { announceMessage, digestsIn, reportMessage, versionIn } from './translate.ts'

/**
 * Carries out one download: feeds the state machine of `transfer/` with what happens on sockets and disk, and does what it asks for.
 * Without a link its only source is the origin; that is how the CDN fills.
 */

export type RunObserver = {
  /** The version is settled and has its place on disk. */
  onVersion?(version: Version): void
  /** A verified piece is on disk and may be offered to others. */
  onPiece?(piece: number, digest: Uint8Array): void
  onLength?(lengthBytes: number): void
  /** All bytes are verified; only syncing and moving are left. */
  onDigest?(digest: Digest): void
}

const TICK_MS = 200

export class DownloadRun {
  readonly request: TaskRequest
  /** Settles once, with the result or with a DragonflyError. */
  readonly done: Promise<RunResult>
  /** Where the pieces are; null until the version is settled. */
  file: TaskFile | null = null
  /** Authorises fetching this version's pieces; empty where nobody may. */
  token = ''
  readonly #engine: Engine
  readonly #observer: RunObserver
  readonly #startedAt: number
  readonly #nonce = randomName()
  readonly #knownDigests = new PieceDigests()
  readonly #fetches = new Map<string, AbortController>()
  readonly #meter: RateMeter
  #machine!: Download
  #link: TaskLink | null = null
  #origin: AbortController | null = null
  #preparing: Promise<void> = Promise.resolve()
  #streamHash: { hash: ReturnType<typeof createHash>; position: number } | null = null
  #originBytes = 0
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
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.done.catch(() => {})
  }

  /** @param openLink makes the link to the supernode; null for none */
  static async start(
    engine: Engine,
    request: TaskRequest,
    options: { observer?: RunObserver; openLink?: (handler: TaskLinkHandler) => TaskLink },
  ): Promise<DownloadRun> {
    const run = new DownloadRun(engine, request, options.observer ?? {})
    await run.#begin(options.openLink ?? null)
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
    return this.#machine.isConfirmed ? this.#machine.version : null
  }

  get digest(): Digest | null {
    return this.#machine.digest
  }

  get originBytes(): number {
    return this.#originBytes
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

  cancel(): void {
    this.#dispatch({ type: 'cancelled' })
  }

  /** Leaves the swarm. What is stored stays. */
  async close(): Promise<void> {
    this.cancel()
    this.#link?.close()
    this.#link = null
  }

  snapshot(): RunSnapshot {
    const now = this.#engine.clock.now()
    const { layout } = this.#machine.version ?? { layout: null }
    const { bytes } = this.#machine
    return {
      taskId: this.request.taskId,
      phase: this.#machine.phase,
      lengthBytes: layout?.lengthBytes ?? null,
      heldBytes: bytes.origin + bytes.supernode + bytes.peers + bytes.local,
      bytes: { ...bytes },
      rateBytesPerSecond: this.#meter.rate(now),
      waiting: this.#machine.waits.reason,
    }
  }

  async #begin(openLink: ((handler: TaskLinkHandler) => TaskLink) | null): Promise<void> {
    const { store, clock, random, limits } = this.#engine
    this.file = await store.open(this.request.taskId)
    const file = this.file
    const isUsable =
      file !== null &&
      (hasValidator(file.validator) || this.request.expectedDigest !== null || openLink !== null)
    this.#machine = new Download(
      {
        hasSupernode: openLink !== null,
        limits,
        random,
        stored: isUsable
          ? {
              version: { generation: file.generation, validator: file.validator, layout: file.layout },
              held: Bitmap.decode(file.held.encode(), file.held.size),
              knownDigests: file.digests.known(),
            }
          : null,
      },
      clock.now(),
    )
    if (openLink) this.#link = openLink(this.#linkHandler())
    else this.#perform(this.#machine.begin(clock.now()))
    this.#scheduleTick()
  }

  #linkHandler(): TaskLinkHandler {
    return {
      onReady: seed => {
        this.#machine.seedSource = seed
        this.#announce()
      },
      onLost: () => this.#dispatch({ type: 'supernode-lost' }),
      onUnavailable: () => this.#dispatch({ type: 'supernode-unavailable' }),
      onLayout: message => {
        if (this.isComplete && message.generation !== this.version?.generation) return void this.close()
        this.token = message.token
        const pieces = this.#learnDigests(digestsIn(message))
        this.#dispatch({
          type: 'layout',
          version: versionIn(message),
          digest: message.digest,
          knownDigests: pieces,
        })
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

  #learnDigests(digests: ReadonlyMap<number, Uint8Array>): number[] {
    for (const [piece, digest] of digests) this.#knownDigests.set(piece, digest)
    return [...digests.keys()]
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
    this.#perform(this.#machine.step(event, this.#engine.clock.now()))
    this.#noticeVersion()
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
    const { version, phase } = this.#machine
    if (this.#isVersionNoticed || !version || !this.#machine.isConfirmed || phase === 'preparing') return
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
        void this.#fetch(effect.piece, effect.source)
        return
      case 'cancel-fetch':
        this.#fetches.get(fetchKey(effect.piece, effect.source))?.abort(cancelled())
        return
      case 'ask-held':
        void this.#askHeld(effect.source)
        return
      case 'open-origin':
        void this.#readOrigin(effect)
        return
      case 'close-origin':
        this.#origin?.abort(cancelled())
        this.#origin = null
        return
      case 'verify':
        void this.#verify()
        return
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
      this.#streamHash = null
      this.file = await this.#engine.store.create({
        taskId: this.request.taskId,
        name: this.request.name,
        url: redactUrl(this.request.url),
        generation: version.generation,
        validator: version.validator,
        layout: version.layout,
      })
      this.#dispatch({ type: 'prepared' })
    })
  }

  async #seal(lengthBytes: number): Promise<void> {
    await this.#orFail(async () => {
      await this.file?.seal(lengthBytes)
      this.#observer.onLength?.(lengthBytes)
    })
  }

  async #fetch(piece: number, source: SourceId): Promise<void> {
    const { pieces, buffers } = this.#engine
    const controller = new AbortController()
    const key = fetchKey(piece, source)
    this.#fetches.set(key, controller)
    try {
      const address = this.#link?.addressOf(source)
      const file = this.file
      if (!address || !file) throw new DragonflyError('SOURCE_GONE', 'the source is not known any more')
      const fetched = await pieces.fetch({
        ...address,
        taskId: this.request.taskId,
        token: this.token,
        range: pieceRange(file.layout, piece),
        buffers,
        signal: controller.signal,
        onBytes: bytes => this.#count(bytes),
      })
      try {
        await this.#storeFetched(file, piece, fetched.bytes, fetched.digest)
      } finally {
        buffers.release(fetched.buffer)
      }
      this.#dispatch({
        type: 'fetched',
        piece,
        source,
        bytes: fetched.bytes.length,
        elapsedMs: fetched.elapsedMs,
      })
    } catch (thrown) {
      this.#onFetchError(piece, source, toDragonflyError(thrown))
    } finally {
      if (this.#fetches.get(key) === controller) this.#fetches.delete(key)
    }
  }

  /** The one gate through which bytes of other hosts come into a file. */
  async #storeFetched(file: TaskFile, piece: number, bytes: Uint8Array, digest: Uint8Array): Promise<void> {
    const expected = this.#knownDigests.get(piece)
    if (!expected || !sameBytes(expected, digest)) {
      throw new DragonflyError('DIGEST_MISMATCH', `piece ${piece} is not what the supernode says it is`)
    }
    await file.writePiece(piece, bytes, digest)
    this.#observer.onPiece?.(piece, digest)
  }

  #onFetchError(piece: number, source: SourceId, error: DragonflyError): void {
    if (error.code.startsWith('DISK_')) {
      this.#dispatch({ type: 'stored-failed', code: error.code, message: error.message })
      return
    }
    if (error.code !== 'CANCELLED') {
      const facts = { taskId: this.request.taskId, piece, source, code: error.code, cause: error.message }
      this.#engine.log.debug(facts, 'piece failed')
    }
    this.#dispatch({ type: 'fetch-failed', piece, source, code: error.code })
  }

  async #storeInline(content: Uint8Array): Promise<void> {
    await this.#preparing
    if (this.isOver || !this.file || this.file.held.has(0)) return
    await this.#orFail(async () => {
      const digest = createHash('sha256').update(content).digest()
      await this.#storeFetched(this.file!, 0, content, digest)
      this.#count(content.length)
      const source = this.#machine.seedSource ?? 'supernode'
      this.#dispatch({ type: 'fetched', piece: 0, source, bytes: content.length, elapsedMs: 0 })
    })
  }

  async #askHeld(source: SourceId): Promise<void> {
    const address = this.#link?.addressOf(source)
    try {
      if (!address) throw new DragonflyError('SOURCE_GONE', 'the source is not known any more')
      const answer = await this.#engine.pieces.fetchHeld({
        ...address,
        taskId: this.request.taskId,
        token: this.token,
        signal: AbortSignal.any([]),
      })
      const isSame = answer.generation === this.#machine.version?.generation
      this.#dispatch({ type: 'source-holds', source, pieces: isSame ? [...answer.held.members()] : [] })
    } catch {
      this.#dispatch({ type: 'source-silent', source })
    }
  }

  async #readOrigin(effect: {
    mode: OriginMode
    fromPiece: number
    untilPiece: number | null
  }): Promise<void> {
    const controller = new AbortController()
    this.#origin = controller
    const { signal } = controller
    let answer: OriginAnswer | null = null
    try {
      answer = await this.#openOrigin(effect, signal)
      signal.throwIfAborted()
      this.#dispatch({ type: 'origin-answered', kind: answer.kind, version: this.#versionOf(answer) })
      await this.#preparing
      if (answer.kind === 'content' && !signal.aborted && this.file)
        await this.#pump(answer, effect, this.file, signal)
      if (signal.aborted) return
      this.#origin = null
      this.#dispatch({ type: 'origin-ended' })
    } catch (thrown) {
      if (signal.aborted) return
      const error = toDragonflyError(thrown)
      this.#origin = null
      if (error.code.startsWith('DISK_')) {
        this.#dispatch({ type: 'stored-failed', code: error.code, message: error.message })
      } else this.#dispatch({ type: 'origin-failed', code: error.code, message: error.message })
    } finally {
      answer?.body.close()
    }
  }

  #openOrigin(
    effect: { mode: OriginMode; fromPiece: number; untilPiece: number | null },
    signal: AbortSignal,
  ): Promise<OriginAnswer> {
    const { version } = this.#machine
    const pieceLength = version?.layout.pieceLength ?? 0
    return this.#engine.origin.open({
      url: this.request.url,
      headers: this.request.headers,
      startByte: effect.fromPiece * pieceLength,
      endByte: effect.untilPiece === null ? null : effect.untilPiece * pieceLength,
      validator: effect.mode === 'fresh' ? null : (version?.validator ?? null),
      isRevalidation: effect.mode === 'revalidate',
      signal,
    })
  }

  #versionOf(answer: OriginAnswer): Version {
    const { validator, lengthBytes } = answer
    const { version } = this.#machine
    const isSameLength = version?.layout.lengthBytes === lengthBytes || version?.layout.lengthBytes === null
    if (
      version &&
      this.#machine.isConfirmed &&
      !hasValidator(version.validator) &&
      !hasValidator(validator) &&
      isSameLength
    ) {
      return version
    }
    const generation = generationOf(
      {
        expectedDigest: this.request.expectedDigest ?? undefined,
        validator,
        lengthBytes,
        nonce: this.#nonce,
      },
      sha256,
    )
    if (version?.generation === generation && version.layout.lengthBytes !== null) return version
    return { generation, validator, layout: layoutFor(lengthBytes) }
  }

  async #pump(
    answer: OriginAnswer,
    effect: { untilPiece: number | null },
    file: TaskFile,
    signal: AbortSignal,
  ): Promise<void> {
    const { pieceLength } = file.layout
    const isFromStart = answer.startByte === 0
    const isWholeStream = isFromStart && file.held.count === 0
    this.#streamHash = isWholeStream ? { hash: createHash('sha256'), position: 0 } : null
    await pumpOrigin({
      body: answer.body,
      file,
      buffers: this.#engine.buffers,
      signal,
      fromPiece: answer.startByte / pieceLength,
      untilPiece: effect.untilPiece,
      expectedDigest: piece => this.#knownDigests.get(piece) ?? file.digests.get(piece),
      onBytes: bytes => {
        this.#originBytes += bytes.length
        this.#count(bytes.length)
        if (!this.#streamHash) return
        this.#streamHash.hash.update(bytes)
        this.#streamHash.position += bytes.length
      },
      onLength: async lengthBytes => {
        this.#dispatch({ type: 'origin-length', lengthBytes })
        await this.#preparing
      },
      onPiece: (piece, digest, bytes) => {
        this.#knownDigests.set(piece, digest)
        this.#observer.onPiece?.(piece, digest)
        this.#dispatch({ type: 'origin-piece', piece, bytes })
      },
    })
  }

  async #verify(): Promise<void> {
    await this.#preparing
    await this.#orFail(async () => {
      const file = this.file!
      if (!(await file.isUntouched())) {
        throw new DragonflyError('DISK_ERROR', `${file.path} was changed by somebody else`)
      }
      const digest = await this.#wholeDigest(file)
      const { expectedDigest } = this.request
      if (expectedDigest !== null && digest !== expectedDigest) {
        throw new DragonflyError(
          'DIGEST_MISMATCH',
          `the content is ${digest}, expected was ${expectedDigest}`,
        )
      }
      this.#observer.onDigest?.(digest)
      await file.complete(digest)
      this.#dispatch({ type: 'verified', digest })
    })
  }

  /** What was promised by digest is computed here; otherwise the supernode's word, which its piece digests already bind, will do. */
  async #wholeDigest(file: TaskFile): Promise<Digest> {
    if (file.isComplete && file.digest) return file.digest
    const stream = this.#streamHash
    if (stream && stream.position === file.layout.lengthBytes) return digestOf(stream.hash.digest())
    if (this.request.expectedDigest === null && this.#machine.digest) return this.#machine.digest
    return file.computeDigest(() => createHash('sha256'))
  }

  async #onFailed(error: DragonflyError, isDiscarded: boolean): Promise<void> {
    await this.#preparing
    if (isDiscarded) await this.file?.discard().catch(() => {})
    this.#link?.close()
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

  #result(digest: Digest): RunResult {
    const now = this.#engine.clock.now()
    const { layout } = this.#machine.version!
    const seconds = (now - this.#startedAt) / 1000
    const rate = this.#meter.best(now)
    const pieces = pieceCount(layout)
    const boundSeconds =
      rate > 0
        ? pieceBoundSeconds({
            peers: this.#machine.peers,
            pieces,
            pieceLength: layout.lengthBytes! / pieces,
            rateBytesPerSecond: rate,
          })
        : 0
    return {
      taskId: this.request.taskId,
      path: this.file!.path,
      lengthBytes: layout.lengthBytes!,
      seconds,
      digest,
      bytes: { ...this.#machine.bytes },
      sources: this.#machine.usedSources.size,
      retries: this.#machine.retries,
      waitMs: this.#machine.waits.totals(now),
      boundFactor: boundSeconds > 0 ? seconds / boundSeconds : null,
    }
  }
}

function fetchKey(piece: number, source: SourceId): string {
  return `${piece}@${source}`
}

function cancelled(): DragonflyError {
  return new DragonflyError('CANCELLED', 'not needed any more')
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}
