import { readFile } from 'node:fs/promises'
import { Bitmap } from '../core/bitmap.ts'
import { DIGEST_BYTES, type Digest } from '../core/digest.ts'
import { type DragonflyError, isErrorCode } from '../core/error.ts'
import { pieceCount } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Version } from '../core/version.ts'
import type { PieceContent } from '../net/piece-content.ts'
import type { Engine } from '../peer/engine.ts'
import type { HostId, Hosts } from '../swarm/hosts.ts'
import { type ConsumerReport, TaskSwarm } from '../swarm/task-swarm.ts'
import type { PeerMessages, SupernodeMessages } from '../wire/control.ts'
import { type Access, type Caller, hasCredentials } from './access.ts'
import { CdnFill } from './cdn-fill.ts'
import { SEED_HOST, type Session } from './session.ts'

export type SwarmTaskOptions = {
  readonly engine: Engine
  readonly hosts: Hosts
  readonly access: Access
  tokenFor(version: Version): string
  sessionOf(host: HostId): Session | undefined
  /** How long after the origin was asked its answer also serves others. */
  readonly freshMs: number
  /** Pieces per consumer on their way at once. */
  readonly window: number
}

const INLINE_BYTES_MAX = 64 * 1024
const TICK_MS = 250
const STATUS_EVERY_TICKS = 8
const FAILURE_REMEMBERED_MS = 1_000

/** One task at the supernode: its CDN copy, its swarm, and the messages between the two and the members. */
export class SwarmTask {
  readonly taskId: TaskId
  readonly #options: SwarmTaskOptions
  #fill: CdnFill | null = null
  #starting: Promise<CdnFill> | null = null
  #failure: { error: DragonflyError; until: number } | null = null
  #version: Version | null = null
  #digest: Digest | null = null
  #token = ''
  #swarm: TaskSwarm | null = null
  #newPieces: number[] = []
  #isFlushDue = false
  #cancelTick: (() => void) | null = null
  #ticks = 0
  #pastOriginBytes = 0

  constructor(taskId: TaskId, options: SwarmTaskOptions) {
    this.taskId = taskId
    this.#options = options
  }

  /** What the piece server may serve of it. */
  get content(): { content: PieceContent; token: string } | null {
    const file = this.#fill?.run.file
    return file && this.#fill?.run.version && this.#token ? { content: file, token: this.#token } : null
  }

  /** Read from the origin since the task came into memory. */
  get originBytes(): number {
    return this.#pastOriginBytes + (this.#fill?.run.originBytes ?? 0)
  }

  get memberCount(): number {
    return this.#swarm?.memberCount ?? 0
  }

  /** Nobody needs it at the moment, and it is at rest. */
  get isIdle(): boolean {
    return this.memberCount === 0 && this.#starting === null && (this.#fill === null || this.#fill.run.isOver)
  }

  /** Lets the member in, or tells it why not. */
  async announce(session: Session, message: PeerMessages['announce']): Promise<void> {
    try {
      const fill = await this.#currentFill(message)
      const version = await fill.settled
      const { lengthBytes } = version.layout
      if (lengthBytes !== null && lengthBytes <= INLINE_BYTES_MAX) await fill.run.done
      if (session.isOpen) await this.#admit(session, message)
    } catch (thrown) {
      session.sendError(this.taskId, thrown)
    }
  }

  report(session: Session, message: PeerMessages['report']): void {
    this.#swarm?.report(session.host, readReport(message), this.#now())
    this.#flushSoon()
  }

  leave(host: HostId): void {
    this.#swarm?.leave(host, this.#now())
    this.#flushSoon()
  }

  async close(): Promise<void> {
    this.#cancelTick?.()
    await this.#fill?.run.close()
    await this.#fill?.run.file?.close()
  }

  #now(): number {
    return this.#options.engine.clock.now()
  }

  /** The fetch whose answer this caller may rely on: the present one if the origin lets the caller in, else a new one. */
  async #currentFill(message: PeerMessages['announce']): Promise<CdnFill> {
    for (;;) {
      const present = this.#starting ? await this.#starting : this.#fill
      if (!present?.isCurrent(this.#now(), this.#options.freshMs)) {
        if (this.#starting) continue
        const isRemembered = this.#failure !== null && this.#now() < this.#failure.until
        if (this.#failure && isRemembered && !hasCredentials(message)) throw this.#failure.error
        return this.#startFill(message)
      }
      let version: Version
      try {
        version = await present.settled
      } catch (thrown) {
        if (hasCredentials(message) && !isSameCaller(message, present.caller)) continue
        throw thrown
      }
      const { privateUrl } = present
      if (privateUrl !== null) await this.#options.access.check(message, { fetchedFrom: privateUrl, version })
      return present
    }
  }

  #startFill(message: PeerMessages['announce']): Promise<CdnFill> {
    const { url, headers, tag, expectedDigest, range } = message
    const request = { taskId: this.taskId, url, headers, name: this.taskId, tag, expectedDigest, range }
    this.#starting = CdnFill.start(this.#options.engine, request, {
      onVersion: version => this.#onVersion(version),
      onPiece: piece => this.#onPiece(piece),
      onLength: lengthBytes => this.#onLength(lengthBytes),
      onDigest: digest => {
        this.#digest = digest
        this.#broadcast(this.#news())
      },
      onComplete: ({ lengthBytes, seconds, bytes }) => {
        this.#options.engine.log.info(
          { taskId: this.taskId, lengthBytes, seconds, bytes },
          'task complete at cdn',
        )
      },
      onFailed: error => this.#onFailed(error),
    }).finally(() => {
      this.#starting = null
    })
    return this.#starting.then(fill => {
      this.#pastOriginBytes = this.originBytes
      this.#fill = fill
      return fill
    })
  }

  #onVersion(version: Version): void {
    this.#failure = null
    if (this.#version?.generation === version.generation && this.#swarm) return
    this.#dropSwarm({
      code: 'ORIGIN_CHANGED',
      message: 'the content at the origin changed during the download',
    })
    const { hosts, engine, window } = this.#options
    this.#version = version
    this.#digest = null
    this.#token = this.#options.tokenFor(version)
    const count = version.layout.lengthBytes === null ? null : pieceCount(version.layout)
    this.#swarm = new TaskSwarm({ hosts, seed: SEED_HOST, random: engine.random, window }, count)
  }

  #onPiece(piece: number): void {
    this.#swarm?.offerSeedPiece(piece, this.#now())
    this.#newPieces.push(piece)
    this.#flushSoon()
  }

  #onLength(lengthBytes: number): void {
    if (!this.#version || !this.#swarm) return
    this.#version = { ...this.#version, layout: { ...this.#version.layout, lengthBytes } }
    this.#swarm.seal(pieceCount(this.#version.layout))
    this.#broadcast(this.#news())
  }

  #onFailed(error: DragonflyError): void {
    const { code, message } = error
    this.#options.engine.log.warn({ taskId: this.taskId, code, cause: message }, 'task failed at cdn')
    this.#failure = { error, until: this.#now() + FAILURE_REMEMBERED_MS }
    this.#dropSwarm({ code, message })
  }

  /** Members that are not done cannot go on; the others keep what they have. */
  #dropSwarm(why: { code: string; message: string }): void {
    const swarm = this.#swarm
    this.#swarm = null
    this.#version = null
    this.#newPieces = []
    if (!swarm) return
    for (const host of swarm.consumers()) {
      this.#options.sessionOf(host)?.send({ type: 'error', taskId: this.taskId, ...why })
    }
    swarm.dissolve()
  }

  async #admit(session: Session, message: PeerMessages['announce']): Promise<void> {
    const layout = await this.#layoutMessage()
    const [version, swarm] = [this.#version, this.#swarm]
    if (!layout || !version || !swarm || !session.isOpen) return
    session.send(layout)
    const isSame =
      message.generation === version.generation && message.pieceLength === version.layout.pieceLength
    const size = swarm.pieceCount ?? message.held.length * 8
    const held = isSame ? Bitmap.decode(message.held, size) : new Bitmap(0)
    swarm.join(session.host, held.members(), this.#now())
    this.#flushSoon()
    this.#tickSoon()
  }

  async #layoutMessage(): Promise<SupernodeMessages['layout'] | null> {
    const file = this.#fill?.run.file
    if (!file || !this.#version) return null
    const { lengthBytes } = this.#version.layout
    const isInline = lengthBytes !== null && lengthBytes > 0 && lengthBytes <= INLINE_BYTES_MAX
    const inline = isInline && file.isComplete ? await readFile(file.path) : null
    const news = this.#news()
    return news && { ...news, ...this.#packDigests([...file.digests.known()]), inline }
  }

  /** The layout without digests. */
  #news(): SupernodeMessages['layout'] | null {
    if (!this.#version) return null
    const { generation, layout, validator } = this.#version
    return {
      type: 'layout',
      taskId: this.taskId,
      generation,
      lengthBytes: layout.lengthBytes,
      pieceLength: layout.pieceLength,
      token: this.#token,
      digest: this.#digest,
      etag: validator.etag,
      lastModified: validator.lastModified,
      pieces: [],
      digests: new Uint8Array(0),
      inline: null,
    }
  }

  #packDigests(pieces: number[]): { pieces: number[]; digests: Uint8Array } {
    const known = this.#fill!.run.digests
    const digests = new Uint8Array(pieces.length * DIGEST_BYTES)
    pieces.forEach((piece, i) => {
      digests.set(known.get(piece)!, i * DIGEST_BYTES)
    })
    return { pieces, digests }
  }

  #broadcast(
    message: SupernodeMessages['layout'] | SupernodeMessages['digests'] | SupernodeMessages['status'] | null,
  ): void {
    if (!message || !this.#swarm) return
    for (const host of this.#swarm.consumers()) this.#options.sessionOf(host)?.send(message)
  }

  /** Digests and assignments that came up in one turn of the event loop go out together. */
  #flushSoon(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    setImmediate(() => {
      this.#isFlushDue = false
      this.#flush()
    })
  }

  #flush(): void {
    if (!this.#swarm) return
    if (this.#newPieces.length > 0 && this.#fill) {
      this.#broadcast({
        type: 'digests',
        taskId: this.taskId,
        ...this.#packDigests(this.#newPieces.splice(0)),
      })
    }
    const byConsumer = Map.groupBy(this.#swarm.takeAssignments(), assignment => assignment.consumer)
    for (const [consumer, assignments] of byConsumer) {
      this.#options.sessionOf(consumer)?.assign(this.taskId, assignments, this.#options.sessionOf)
    }
  }

  #tickSoon(): void {
    if (this.#cancelTick) return
    this.#cancelTick = this.#options.engine.clock.schedule(TICK_MS, () => {
      this.#cancelTick = null
      if (!this.#swarm || this.#swarm.consumerCount === 0) return
      this.#swarm.tick(this.#now())
      this.#flushSoon()
      if (this.#ticks++ % STATUS_EVERY_TICKS === 0) {
        const { taskId, originBytes } = this
        this.#broadcast({ type: 'status', taskId, peers: this.memberCount, originBytes })
      }
      this.#tickSoon()
    })
  }
}

function isSameCaller(a: Caller, b: Caller): boolean {
  return a.url === b.url && JSON.stringify(a.headers) === JSON.stringify(b.headers)
}

function readReport(message: PeerMessages['report']): ConsumerReport {
  const { done, failed, released } = message
  const codeAt = (i: number) => (isErrorCode(message.codes[i]) ? message.codes[i] : 'SOURCE_GONE')
  return {
    done: groups(done, 3).map(([piece, source]) => ({ piece, source })),
    failed: groups(failed, 3).map(([piece, source, code]) => ({ piece, source, code: codeAt(code) })),
    released: groups(released, 2).map(([piece, source]) => ({ piece, source })),
    slow: message.slow,
    fromOrigin: message.fromOrigin,
  }
}

function groups(flat: readonly number[], size: number): number[][] {
  return Array.from({ length: Math.floor(flat.length / size) }, (_, i) =>
    flat.slice(i * size, (i + 1) * size),
  )
}
