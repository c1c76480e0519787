import { Bitmap } from '../core/bitmap.ts'
import { DIGEST_BYTES, type Digest } from '../core/digest.ts'
import { PIECE_COUNT_MAX, pieceCount } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Version } from '../core/version.ts'
import type { PieceContent } from '../net/piece-content.ts'
import type { Engine } from '../peer/engine.ts'
import type { HostId, Hosts } from '../swarm/hosts.ts'
import { TaskSwarm } from '../swarm/task-swarm.ts'
import type { Zones } from '../swarm/zones.ts'
import type { PeerMessages, SupernodeMessages } from '../wire/control.ts'
import type { Access } from './access.ts'
import { CdnCopy } from './cdn-copy.ts'
import type { CdnFill, CdnObserver } from './cdn-fill.ts'
import type { EventRecord, SwarmTrace } from './event-record.ts'
import { readReport } from './read-report.ts'
import { SEED_HOST, type Session } from './session.ts'

type SwarmTaskOptions = {
  readonly engine: Engine
  readonly hosts: Hosts
  readonly zones: Zones
  readonly access: Access
  /** Authorises fetching this version's pieces as this fetch got them. */
  tokenFor(version: Version, fill: CdnFill): string
  sessionOf(host: HostId): Session | undefined
  /** How long after the origin was asked its answer also serves others. */
  readonly freshMs: number
  /** Pieces per consumer on their way at once. */
  readonly window: number
  readonly record: EventRecord | null
}

const INLINE_BYTES_MAX = 64 * 1024
const TICK_MS = 250
/** By then the first readers are gone. */
const DIGEST_AFTER_MS = 3_000
const STATUS_EVERY_TICKS = 8

/** One task at the supernode: its CDN copy, its swarm, and the messages between the two and the members. */
export class SwarmTask {
  readonly taskId: TaskId
  readonly #options: SwarmTaskOptions
  readonly #copy: CdnCopy
  #version: Version | null = null
  #digest: Digest | null = null
  #token = ''
  #swarm: TaskSwarm | null = null
  #trace: SwarmTrace | null = null
  #newPieces: number[] = []
  #isFlushDue = false
  #cancelTick: (() => void) | null = null
  #ticks = 0
  #cancelDigest = () => {}
  #announcing = 0

  constructor(taskId: TaskId, options: SwarmTaskOptions) {
    this.taskId = taskId
    this.#options = options
    const { engine, access, freshMs } = options
    this.#copy = new CdnCopy({
      taskId,
      engine,
      access,
      freshMs,
      observer: this.#observer(),
      isWanted: () => this.consumerCount > 0,
    })
  }

  /** What the piece server may serve of it. */
  get content(): { content: PieceContent; token: string } | null {
    const file = this.#copy.fill?.run.file
    return file && this.#token ? { content: file, token: this.#token } : null
  }

  /** Read from the origin since the task came into memory. */
  get originBytes(): number {
    return this.#copy.originBytes
  }

  get memberCount(): number {
    return this.#swarm?.memberCount ?? 0
  }

  get consumerCount(): number {
    return this.#swarm?.consumerCount ?? 0
  }

  /** Nobody needs it at the moment, and it is at rest. */
  get isIdle(): boolean {
    return this.memberCount === 0 && this.#announcing === 0 && this.#copy.isAtRest
  }

  /** Lets the member in, or tells it why not. */
  async announce(session: Session, message: PeerMessages['announce']): Promise<void> {
    this.#announcing++
    try {
      while (session.isOpen) {
        const fill = await this.#copy.fillFor(message)
        const { lengthBytes } = fill.version.layout
        if (lengthBytes !== null && lengthBytes <= INLINE_BYTES_MAX) await fill.run.done
        if (await this.#admit(session, message, fill)) return
      }
    } catch (thrown) {
      session.sendError(this.taskId, thrown)
    } finally {
      this.#announcing--
    }
  }

  report(session: Session, message: PeerMessages['report']): void {
    const report = readReport(message)
    if (this.#swarm?.isMember(session.host)) this.#trace?.reported(session.host, message.done, report)
    this.#swarm?.report(session.host, report, this.#now())
    this.#flushSoon()
  }

  leave(host: HostId): void {
    if (this.#swarm?.isMember(host)) this.#trace?.left(host)
    this.#swarm?.leave(host, this.#now())
    this.#flushSoon()
  }

  async close(): Promise<void> {
    this.#cancelTick?.()
    this.#cancelDigest()
    await this.#copy.close()
  }

  #now(): number {
    return this.#options.engine.clock.now()
  }

  #observer(): CdnObserver {
    return {
      onVersion: (fill, version) => this.#onVersion(fill, version),
      onPiece: piece => this.#onPiece(piece),
      onLength: lengthBytes => this.#onLength(lengthBytes),
      onDigest: digest => {
        this.#digest = digest
        this.#broadcast(this.#news())
      },
      onComplete: ({ lengthBytes, seconds, bytes }) => {
        this.#digestLater()
        this.#options.engine.log.info(
          { taskId: this.taskId, lengthBytes, seconds, bytes },
          'task complete at cdn',
        )
      },
      onFailed: (_, { code, message }) => this.#dropSwarm({ code, message }),
    }
  }

  /** A swarm goes on as long as the token does: it names the generation and, where that does not, the place that it came from. */
  #onVersion(fill: CdnFill, version: Version): void {
    const token = this.#options.tokenFor(version, fill)
    if (this.#token === token && this.#swarm) return
    this.#dropSwarm({
      code: 'ORIGIN_CHANGED',
      message: 'the content at the origin changed during the download',
    })
    const { hosts, engine, window, record } = this.#options
    this.#version = version
    this.#digest = null
    this.#token = token
    const count = version.layout.lengthBytes === null ? null : pieceCount(version.layout)
    const { pieceLength } = version.layout
    const { random } = engine
    const options = { hosts, seed: SEED_HOST, random, window, pieceLength, keepsLine: true }
    this.#swarm = new TaskSwarm(options, count)
    // What an earlier run left on disk is not announced piece by piece.
    const held = [...(fill.run.file?.held.members() ?? [])]
    for (const piece of held) this.#swarm.offerSeedPiece(piece, this.#now())
    this.#trace = record?.beginSwarm(this.taskId, version.layout) ?? null
    this.#trace?.offered(held)
  }

  #onPiece(piece: number): void {
    this.#swarm?.offerSeedPiece(piece, this.#now())
    this.#trace?.offered([piece])
    this.#newPieces.push(piece)
    this.#flushSoon()
  }

  #onLength(lengthBytes: number): void {
    if (!this.#version || !this.#swarm) return
    this.#version = { ...this.#version, layout: { ...this.#version.layout, lengthBytes } }
    // Whoever has every piece by now still waits for the length.
    const waiting = [...this.#swarm.consumers()]
    this.#swarm.seal(pieceCount(this.#version.layout))
    this.#trace?.sealed(lengthBytes)
    this.#broadcast(this.#news(), waiting)
  }

  /** The whole content's digest is for those who ask later; the fill and its first readers do not wait for it. */
  #digestLater(): void {
    const fill = this.#copy.fill
    this.#cancelDigest()
    this.#cancelDigest = this.#options.engine.clock.schedule(DIGEST_AFTER_MS, async () => {
      if (!fill || this.#copy.fill !== fill || !fill.run.isComplete) return
      const digest = await fill.run.contentDigest().catch(() => null)
      if (digest && this.#copy.fill === fill) this.#digest = digest
    })
  }

  /** Members that are not done cannot go on; the others keep what they have. */
  #dropSwarm(why: { code: string; message: string }): void {
    const swarm = this.#swarm
    this.#swarm = null
    this.#version = null
    this.#token = ''
    this.#newPieces = []
    if (!swarm) return
    for (const host of swarm.consumers()) {
      this.#options.sessionOf(host)?.send({ type: 'error', taskId: this.taskId, ...why })
    }
    swarm.dissolve()
    this.#trace?.ended()
    this.#trace = null
  }

  /** Returns false where the copy is another one by now, which this caller has not been let in to. */
  async #admit(session: Session, message: PeerMessages['announce'], fill: CdnFill): Promise<boolean> {
    const inline = await readInline(fill)
    const [version, swarm, news] = [this.#version, this.#swarm, this.#news()]
    if (this.#copy.fill !== fill || !version || !swarm || !news) return false
    if (!session.isOpen) return true
    session.send({ ...news, ...this.#packDigests([...fill.run.digests.known()]), inline })
    const isSame =
      message.generation === version.generation && message.pieceLength === version.layout.pieceLength
    const size = Math.min(swarm.pieceCount ?? message.held.length * 8, PIECE_COUNT_MAX)
    const held = isSame ? Bitmap.decode(message.held, size) : new Bitmap(inline ? 1 : 0)
    // What came with the layout needs no assignment.
    if (inline) held.add(0)
    const { hosts, zones } = this.#options
    const zone = zones.numberOf(session.hello.zone)
    const seat = { zone, lookAhead: message.lookAhead ?? 0 }
    this.#trace?.joined(session.host, { ...seat, slots: hosts.slotsOf(session.host), held })
    swarm.join(session.host, held.members(), this.#now(), seat)
    this.#flushSoon()
    this.#tickSoon()
    return true
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
    const known = this.#copy.fill!.run.digests
    const digests = new Uint8Array(pieces.length * DIGEST_BYTES)
    pieces.forEach((piece, i) => {
      digests.set(known.get(piece)!, i * DIGEST_BYTES)
    })
    return { pieces, digests }
  }

  #broadcast(
    message: SupernodeMessages['layout'] | SupernodeMessages['digests'] | SupernodeMessages['status'] | null,
    hosts: Iterable<HostId> = this.#swarm?.consumers() ?? [],
  ): void {
    if (!message) return
    for (const host of hosts) this.#options.sessionOf(host)?.send(message)
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
    if (this.#newPieces.length > 0 && this.#copy.fill) {
      this.#broadcast({
        type: 'digests',
        taskId: this.taskId,
        ...this.#packDigests(this.#newPieces.splice(0)),
      })
    }
    const byConsumer = Map.groupBy(this.#swarm.takeAssignments(), assignment => assignment.consumer)
    for (const [consumer, assignments] of byConsumer) {
      this.#trace?.assigned(consumer, assignments)
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

/** The whole content, where that is small and here. */
async function readInline({ run }: CdnFill): Promise<Uint8Array | null> {
  const { file } = run
  const lengthBytes = run.version?.layout.lengthBytes
  if (!file?.isComplete || !lengthBytes || lengthBytes > INLINE_BYTES_MAX) return null
  const content = new Uint8Array(lengthBytes)
  const count = await file.read(content, 0).catch(() => 0)
  return count === lengthBytes ? content : null
}
