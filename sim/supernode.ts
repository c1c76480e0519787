import { DIGEST_BYTES } from '../src/core/digest.ts'
import { pieceCount } from '../src/core/piece-layout.ts'
import type { Version } from '../src/core/version.ts'
import { heldOf } from '../src/supernode/holding-claim.ts'
import { layoutMessage, packDigests } from '../src/supernode/layout-message.ts'
import { ORIGIN_READERS, OriginRanks } from '../src/supernode/origin-ranks.ts'
import { readerOf, readReport } from '../src/supernode/read-report.ts'
import { SEED_HOST, Session } from '../src/supernode/session.ts'
import { STATUS_EVERY_TICKS, TICK_MS } from '../src/supernode/swarm-task.ts'
import { type HostId, Hosts } from '../src/swarm/hosts.ts'
import type { PolicyPlan } from '../src/swarm/policies.ts'
import { TaskSwarm } from '../src/swarm/task-swarm.ts'
import { Zones } from '../src/swarm/zones.ts'
import { decodePeerMessage, type PeerMessages, type SupernodeMessages } from '../src/wire/control.ts'
import { SimDesk } from './desk.ts'
import { digestOfValue, SimDisk } from './disk.ts'
import { isMoving, type Link, newLink } from './network.ts'
import { damaged } from './origin.ts'
import { policyNamed } from './policies.ts'
import { ProcessClock } from './process-clock.ts'
import { SimRun } from './run.ts'
import { TASK_ID } from './task.ts'
import type { World } from './world.ts'

/** Copied before the next one is written. */
const ONE_DIGEST = new Uint8Array(DIGEST_BYTES)

const FILL_TICK_SECONDS = 0.2

/** The other end of a channel, as the supernode sees it. */
export type SimChannel = {
  readonly peerName: string
  /** Towards the peer. */
  deliver(message: Uint8Array): void
}

/** A supernode process: shipped scheduler, sessions and CDN download; simulated clock, network and disk. */
export class SimSupernode {
  readonly name: string
  readonly isSeed = true
  readonly desk: SimDesk
  readonly down: Link
  readonly disk = new SimDisk()
  readonly clock: ProcessClock
  isAlive = true
  hosts = new Hosts()
  readonly #world: World
  readonly #zones = new Zones()
  readonly #sessions = new Map<HostId, Session>()
  readonly #hostOf = new Map<SimChannel, HostId>()
  #ranks = new OriginRanks()
  #life = 0
  #nextHost: HostId = SEED_HOST + 1
  #run: SimRun | null = null
  #version: Version | null = null
  #swarm: TaskSwarm | null = null
  /** Announced before the version was known. */
  #waiting: { session: Session; message: PeerMessages['announce'] }[] = []
  #newPieces: number[] = []
  #isFlushDue = false
  #ticks = 0
  #isTicking = false

  constructor(world: World, name: string, rates: { up: number; down: number }) {
    this.#world = world
    this.name = name
    this.clock = new ProcessClock(world.queue)
    this.down = newLink(rates.down)
    this.desk = new SimDesk({
      network: world.network,
      up: newLink(rates.up),
      activeMax: world.scenario.seedActive,
      read: (piece, token) => {
        if (token !== this.#token()) return 'TOKEN_INVALID'
        if (!this.disk.journal.has(piece)) return 'PIECE_NOT_HELD'
        const value = this.disk.read(piece)
        return world.isCorrupted() ? damaged(value) : value
      },
      onSend: (piece, active) => world.watch.onUpload(name, piece, active),
    })
    this.#begin()
  }

  /** Distinguishes the process from those that ran here before. */
  get life(): number {
    return this.#life
  }

  get #plan(): PolicyPlan {
    return policyNamed(this.#world.scenario.policy)
  }

  get memberCount(): number {
    return this.#swarm?.memberCount ?? 0
  }

  crash(): void {
    this.isAlive = false
    this.#life++
    this.#run?.kill()
    this.#run = null
    this.desk.stop()
    this.#swarm = null
    this.#version = null
    this.#sessions.clear()
    this.#hostOf.clear()
    this.#waiting = []
    this.#newPieces = []
    this.#isTicking = false
    this.#isFlushDue = false
  }

  /** @param keepsDisk false is another machine in its place */
  restart(keepsDisk: boolean): void {
    if (this.isAlive) return
    this.isAlive = true
    if (!keepsDisk) this.disk.discard()
    else this.disk.reopen()
    this.#begin()
  }

  onMessage(channel: SimChannel, encoded: Uint8Array): void {
    const message = decodePeerMessage(encoded)
    if (message.type === 'hello') return this.#onHello(channel, message)
    const host = this.#hostOf.get(channel)
    const session = host === undefined ? undefined : this.#sessions.get(host)
    if (host === undefined || !session) return
    if (message.type === 'announce') this.#announce(session, message)
    else if (message.type === 'report') {
      const report = readReport(message, this.#world.origin.layout.pieceLength)
      this.#world.watch.onReport(this, host, report)
      this.#swarm?.report(host, report, this.clock.now())
      this.#flushSoon()
    } else this.#leave(host)
  }

  onClosed(channel: SimChannel): void {
    const host = this.#hostOf.get(channel)
    if (host === undefined) return
    this.#hostOf.delete(channel)
    this.#sessions.get(host)?.end()
    this.#leave(host)
    this.#sessions.delete(host)
    this.hosts.remove(host)
  }

  #onHello(channel: SimChannel, hello: PeerMessages['hello']): void {
    const host = this.#nextHost++
    const roundTripMs = 2 * this.#world.scenario.latencySeconds * 1000
    this.hosts.add(host, hello.uploadSlots, roundTripMs)
    const socket = {
      remoteHost: channel.peerName,
      localHost: this.name,
      send: (message: Uint8Array) => channel.deliver(message),
      close: () => {},
    }
    const session = new Session(host, hello, socket)
    this.#sessions.set(host, session)
    this.#hostOf.set(channel, host)
    session.send({ type: 'welcome', version: 1, supernodeId: this.name, address: channel.peerName })
  }

  #token(): string {
    return this.#version ? `token-${this.#version.generation}` : ''
  }

  /** Starts as the product does: with an empty swarm; the CDN asks the origin when somebody wants the task. */
  #begin(): void {
    this.hosts = new Hosts()
    this.#ranks = new OriginRanks()
    this.hosts.add(SEED_HOST, this.#plan.limits?.seedSlots ?? this.#world.scenario.seedSlots)
  }

  #announce(session: Session, message: PeerMessages['announce']): void {
    if (this.#version) return this.#admit(session, message)
    this.#waiting.push({ session, message })
    if (!this.#run || this.#run.machine.isOver) this.#fill()
  }

  #fill(): void {
    const life = this.#life
    const world = this.#world
    const values = new Map<number, number>()
    this.#run = new SimRun({
      name: this.name,
      queue: world.queue,
      clock: this.clock,
      random: world.random(`cdn ${this.name}`),
      origin: world.origin,
      disk: this.disk,
      down: this.down,
      hasSupernode: false,
      reader: null,
      expectedValue: piece => values.get(piece) ?? 0,
      announce: () => {},
      fetch: () => {},
      cancelFetch: () => {},
      askHeld: () => {},
      onVersion: () => this.#onVersion(),
      onPiece: (piece, value) => {
        values.set(piece, value)
        this.#onPiece(piece)
      },
      onLength: lengthBytes => this.#onLength(lengthBytes),
      onOver: code => {
        if (code !== null && life === this.#life) this.#onFailed(code)
      },
      afterStep: () => {},
    })
    this.#run.begin()
    this.#tickFill(this.#run)
  }

  #tickFill(run: SimRun): void {
    this.#world.queue.after(FILL_TICK_SECONDS, () => {
      if (run !== this.#run || run.machine.isOver) return
      run.send({ type: 'moved', bytes: isMoving(this.down) ? 1 : 0 })
      run.send({ type: 'tick' })
      this.#tickFill(run)
    })
  }

  #onVersion(): void {
    const { version } = this.#run!.machine.content
    this.#version = version
    const count = version!.layout.lengthBytes === null ? null : pieceCount(version!.layout)
    this.#swarm = new TaskSwarm(
      {
        hosts: this.hosts,
        seed: SEED_HOST,
        random: this.#world.random(`swarm ${this.name}`),
        window: this.#plan.limits?.window ?? this.#world.scenario.window,
        policy: this.#plan.create(),
        pieceLength: version!.layout.pieceLength,
      },
      count,
    )
    for (const piece of this.disk.journal.members()) this.#swarm.offerSeedPiece(piece, this.clock.now())
    for (const { session, message } of this.#waiting.splice(0)) this.#admit(session, message)
  }

  #onPiece(piece: number): void {
    if (!this.#swarm) return
    this.#swarm.offerSeedPiece(piece, this.clock.now())
    this.#newPieces.push(piece)
    this.#flushSoon()
  }

  #onLength(lengthBytes: number): void {
    if (!this.#version || !this.#swarm) return
    this.#version = { ...this.#version, layout: { ...this.#version.layout, lengthBytes } }
    const waiting = [...this.#swarm.consumers()]
    this.#swarm.seal(pieceCount(this.#version.layout))
    for (const host of waiting) this.#sessions.get(host)?.send(this.#layout([]))
  }

  #onFailed(code: string): void {
    const told = [...(this.#swarm?.consumers() ?? [])].map(host => this.#sessions.get(host))
    for (const { session } of this.#waiting.splice(0)) told.push(session)
    this.#swarm?.dissolve()
    this.#swarm = null
    this.#version = null
    this.#newPieces = []
    for (const session of told) session?.send({ type: 'error', taskId: TASK_ID, code, message: 'simulated' })
  }

  #admit(session: Session, message: PeerMessages['announce']): void {
    const swarm = this.#swarm
    const version = this.#version
    if (!swarm || !version || !session.isOpen) return
    const originRank = this.#ranks.rankOf(session.host)
    session.send({
      ...this.#layout([...this.disk.journal.members()]),
      originRank,
      originReaders: ORIGIN_READERS,
    })
    const held = heldOf(message, version, swarm.pieceCount)
    this.#world.watch.onJoined(this, session.host)
    swarm.join(session.host, held.members(), this.clock.now(), {
      zone: this.#zones.numberOf(session.hello.zone),
      reader: readerOf(message, version.layout.pieceLength),
      isSeedOnly: message.isSeedOnly ?? false,
    })
    this.#flushSoon()
    this.#tickSoon()
  }

  #layout(pieces: number[]): SupernodeMessages['layout'] {
    return { ...layoutMessage(TASK_ID, this.#version!, this.#token()), ...this.#packDigests(pieces) }
  }

  #packDigests(pieces: number[]): ReturnType<typeof packDigests> {
    const get = (piece: number) => digestOfValue(this.disk.read(piece), ONE_DIGEST)
    return packDigests(pieces, { get, prefix: () => null })
  }

  #leave(host: HostId): void {
    this.#world.watch.onLeft(this, host)
    this.#ranks.giveBack(host)
    this.#waiting = this.#waiting.filter(({ session }) => session.host !== host)
    this.#swarm?.leave(host, this.clock.now())
    this.#flushSoon()
  }

  #flushSoon(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    const life = this.#life
    this.#world.queue.after(this.#world.scenario.supernodeTurnSeconds, () => {
      if (life !== this.#life) return
      this.#isFlushDue = false
      this.#flush()
    })
  }

  #flush(): void {
    const swarm = this.#swarm
    if (!swarm) return
    if (this.#newPieces.length > 0) {
      const news = this.#packDigests(this.#newPieces.splice(0))
      for (const host of swarm.consumers()) {
        this.#sessions.get(host)?.send({ type: 'digests', taskId: TASK_ID, ...news })
      }
    }
    const sessionOf = (host: HostId) => this.#sessions.get(host)
    const byConsumer = Map.groupBy(swarm.takeAssignments(), assignment => assignment.consumer)
    for (const [consumer, assignments] of byConsumer) {
      this.#world.watch.onAssigned(this, consumer, assignments)
      this.#sessions.get(consumer)?.assign(TASK_ID, assignments, sessionOf)
    }
  }

  #tickSoon(): void {
    if (this.#isTicking) return
    this.#isTicking = true
    const life = this.#life
    this.#world.queue.after(TICK_MS / 1000, () => {
      if (life !== this.#life) return
      this.#isTicking = false
      const swarm = this.#swarm
      if (!swarm?.hasConsumers) return
      swarm.tick(this.clock.now())
      this.#flushSoon()
      if (this.#ticks++ % STATUS_EVERY_TICKS === 0) {
        const originBytes = Math.floor(this.#world.origin.sentBytes.get(this.name) ?? 0)
        const status = { type: 'status' as const, taskId: TASK_ID, peers: swarm.memberCount, originBytes }
        for (const host of swarm.consumers()) this.#sessions.get(host)?.send(status)
      }
      this.#tickSoon()
    })
  }
}
