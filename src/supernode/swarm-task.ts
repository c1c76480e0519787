import type { Caller } from '../core/caller.ts'
import type { Digest } from '../core/digest.ts'
import { filterUrl } from '../core/filter-url.ts'
import { pieceCount } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Version } from '../core/version.ts'
import type { PieceContent } from '../net/piece-content.ts'
import type { Engine } from '../peer/engine.ts'
import type { HostId, Hosts } from '../swarm/hosts.ts'
import { TaskSwarm } from '../swarm/task-swarm.ts'
import type { Zones } from '../swarm/zones.ts'
import type { PeerMessages, SupernodeMessages } from '../wire/control.ts'
import type { Access, FetchedContent } from './access.ts'
import { CdnCopy } from './cdn-copy.ts'
import type { CdnFill, CdnObserver } from './cdn-fill.ts'
import type { EventRecord, SwarmTrace } from './event-record.ts'
import { claimsWhole, heldOf, isOfVersion, versionShown } from './holding-claim.ts'
import { layoutMessage, packDigests } from './layout-message.ts'
import { OriginRanks } from './origin-ranks.ts'
import type { Parents } from './parents.ts'
import { readerOf, readReport } from './read-report.ts'
import { SEED_HOST, type Session } from './session.ts'
import { refuseLoop } from './waiting-supernodes.ts'

type Announce = { readonly session: Session; readonly message: PeerMessages['announce'] }

type SwarmTaskOptions = {
  readonly engine: Engine
  readonly hosts: Hosts
  readonly zones: Zones
  readonly access: Access
  readonly parents: Parents
  readonly supernodeId: string
  /** Authorises fetching this version's pieces as the origin gives them to this caller. */
  tokenFor(version: Version, caller: Caller): string
  sessionOf(host: HostId): Session | undefined
  /** How long after the origin was asked its answer also serves others. */
  readonly freshMs: number
  /** Pieces per consumer on their way at once. */
  readonly window: number
  /** How many peers may read the origin at once should this supernode be gone. */
  readonly originReaders: number
  readonly record: EventRecord | null
}

const INLINE_BYTES_MAX = 64 * 1024
export const TICK_MS = 125
/** By then the first readers are gone. */
export const DIGEST_AFTER_MS = 3_000
export const STATUS_EVERY_TICKS = 16

/** One task at the supernode: its CDN copy, its swarm, and the messages between the two and the members. */
export class SwarmTask {
  readonly taskId: TaskId
  readonly #options: SwarmTaskOptions
  readonly #copy: CdnCopy
  /** Members that hold everything, while nobody wants it and nothing is read from the origin. */
  readonly #holders = new Map<HostId, Announce>()
  /** The newest announce of each host, until it is answered or the host leaves: nobody waits for the answer to any other. */
  readonly #awaited = new Map<HostId, Announce>()
  /** What such members were let in for. */
  #shown: FetchedContent | null = null
  readonly #ranks = new OriginRanks()
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
    this.#copy = new CdnCopy({
      ...options,
      taskId,
      observer: this.#observer(),
      isWanted: () => this.#swarm?.hasConsumers ?? false,
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

  /** The same from parents and their peers. */
  get parentBytes(): number {
    return this.#copy.parentBytes
  }

  get memberCount(): number {
    return this.#holders.size + (this.#swarm?.memberCount ?? 0)
  }

  get consumerCount(): number {
    return this.#swarm ? [...this.#swarm.consumers()].length : 0
  }

  /** Nobody waits to be let in, and no copy is being made. */
  get isAtRest(): boolean {
    return this.#announcing === 0 && this.#copy.isAtRest
  }

  /** Nobody needs it at the moment, and it is at rest. */
  get isIdle(): boolean {
    return this.memberCount === 0 && this.isAtRest
  }

  /** Lets the member in, or tells it why not. */
  async announce(session: Session, message: PeerMessages['announce']): Promise<void> {
    const announce = { session, message }
    this.#announcing++
    this.#holders.delete(session.host)
    this.#awaited.set(session.host, announce)
    try {
      refuseLoop(message.via ?? [], this.#options.supernodeId)
      if (claimsWhole(message) && (await this.#admitHolder(announce))) return
      while (this.#isAwaited(announce)) {
        const fill = await this.#copy.fillFor(message)
        const { lengthBytes } = fill.version.layout
        if (lengthBytes !== null && lengthBytes <= INLINE_BYTES_MAX) await fill.run.done
        if (await this.#admit(announce, fill)) return
      }
    } catch (thrown) {
      if (this.#isAwaited(announce)) session.sendError(this.taskId, thrown)
    } finally {
      this.#announcing--
      if (this.#isAwaited(announce)) this.#awaited.delete(session.host)
    }
  }

  report(session: Session, message: PeerMessages['report']): void {
    if (!this.#swarm || !this.#version) return
    const report = readReport(message, this.#version.layout.pieceLength)
    if (this.#swarm.isMember(session.host)) this.#trace?.reported(session.host, message.done, report)
    this.#swarm.report(session.host, report, this.#now())
    this.#flushSoon()
  }

  /** Also for hosts whose channel has closed. */
  leave(host: HostId): void {
    this.#awaited.delete(host)
    this.#holders.delete(host)
    this.#ranks.giveBack(host)
    if (this.#swarm?.isMember(host)) this.#trace?.left(host)
    this.#swarm?.leave(host, this.#now())
    this.#flushSoon()
  }

  async close(): Promise<void> {
    this.#cancelTick?.()
    this.#cancelDigest()
    await this.#copy.close()
  }

  #isAwaited(announce: Announce): boolean {
    return this.#awaited.get(announce.session.host) === announce
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
    const token = this.#options.tokenFor(version, fill.caller)
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
    const options = { hosts, seed: SEED_HOST, random, window, pieceLength }
    this.#swarm = new TaskSwarm(options, count)
    // What an earlier run left on disk is not announced piece by piece.
    const held = [...(fill.run.file?.held.members() ?? [])]
    for (const piece of held) this.#swarm.offerSeedPiece(piece, this.#now())
    this.#trace = record?.beginSwarm(this.taskId, version.layout) ?? null
    this.#trace?.offered(held)
    for (const { session, message } of this.#holders.values()) void this.announce(session, message)
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

  /**
   * Who holds everything is no reason to read the origin: it is let in by what the origin shows to it, and joins the swarm when there is
   * one. Returns false where there is a copy already, or the origin names another version or none.
   */
  async #admitHolder(announce: Announce): Promise<boolean> {
    const { session, message } = announce
    if (this.#copy.isBegun) return false
    const version = await this.#versionShown(message).catch(() => null)
    if (!version || this.#copy.isBegun) return false
    if (!this.#isAwaited(announce)) return true
    this.#holders.set(session.host, announce)
    session.send(layoutMessage(this.taskId, version, this.#options.tokenFor(version, message)))
    return true
  }

  /** The version that the peer claims to hold, if the origin shows that very one to it. */
  async #versionShown(message: PeerMessages['announce']): Promise<Version | null> {
    const { access } = this.#options
    if (this.#shown && isOfVersion(message, this.#shown.version)) {
      await access.check(message, this.#shown)
      return this.#shown.version
    }
    const version = versionShown(message, await access.show(message))
    if (!version || !isOfVersion(message, version)) return null
    this.#shown = { fetchedFrom: filterUrl(message.url).url, version }
    return version
  }

  /** Returns false where the copy is another one by now, which this caller has not been let in to. */
  async #admit(announce: Announce, fill: CdnFill): Promise<boolean> {
    const { session, message } = announce
    const inline = await readInline(fill)
    const [version, swarm, news] = [this.#version, this.#swarm, this.#news()]
    if (this.#copy.fill !== fill || !version || !swarm || !news) return false
    if (!this.#isAwaited(announce)) return true
    const originRank = this.#ranks.rankOf(session.host)
    const { originReaders } = this.#options
    const known = this.#packDigests([...fill.run.digests.known()])
    session.send({ ...news, ...known, inline, originRank, originReaders })
    const held = heldOf(message, version, swarm.pieceCount)
    // What came with the layout needs no assignment.
    if (inline) {
      held.resize(Math.max(1, held.size))
      held.add(0)
    }
    const { hosts, zones } = this.#options
    const zone = zones.numberOf(session.hello.zone)
    const reader = readerOf(message, version.layout.pieceLength)
    const seat = { zone, reader, isSeedOnly: message.isSeedOnly ?? false }
    this.#trace?.joined(session.host, { ...seat, slots: hosts.slotsOf(session.host), held })
    swarm.join(session.host, held.members(), this.#now(), seat)
    this.#flushSoon()
    this.#tickSoon()
    return true
  }

  #news(): SupernodeMessages['layout'] | null {
    return (
      this.#version && { ...layoutMessage(this.taskId, this.#version, this.#token), digest: this.#digest }
    )
  }

  #packDigests(pieces: number[]): ReturnType<typeof packDigests> {
    return packDigests(pieces, this.#copy.fill!.run.digests)
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
      if (!this.#swarm?.hasConsumers) return
      this.#swarm.tick(this.#now())
      this.#flushSoon()
      if (this.#ticks++ % STATUS_EVERY_TICKS === 0) {
        const originBytes = this.#copy.movedBytes
        this.#broadcast({ type: 'status', taskId: this.taskId, peers: this.memberCount, originBytes })
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
