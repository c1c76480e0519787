import { type ErrorCode, isErrorCode } from '../src/core/error.ts'
import { Backoff } from '../src/peer/backoff.ts'
import { announceMessage, digestsIn, originShareIn, reportMessage, versionIn } from '../src/peer/translate.ts'
import type { Reader } from '../src/transfer/reader.ts'
import { isEmptyReport } from '../src/transfer/report-batch.ts'
import { decodeSupernodeMessage, type SupernodeMessage } from '../src/wire/control.ts'
import { SimDesk } from './desk.ts'
import { SimDisk, valueInDigest } from './disk.ts'
import type { Scheduled } from './event-queue.ts'
import { isMoving, type Link, newLink } from './network.ts'
import { damaged } from './origin.ts'
import { PeerChannel } from './peer-channel.ts'
import { PeerFetches } from './peer-fetches.ts'
import { policyNamed } from './policies.ts'
import { ProcessClock } from './process-clock.ts'
import { SimRun } from './run.ts'
import { REQUEST, TASK_ID } from './task.ts'
import type { World } from './world.ts'

const TICK_SECONDS = 0.2
/** Between the end of its download and its leaving. */
const LEAVE_SECONDS = 0.1

export type PeerPlan = {
  readonly up: number
  readonly down: number
  readonly zone: number
  /** Index of the supernode that it asks first. */
  readonly supernode: number
  /** Leaves so long after it is complete; otherwise as the scenario says. */
  readonly staysSeconds?: number
  /** Fetches from the seed alone. */
  readonly isSeedOnly?: boolean
}

/** A resident peer with one download: shipped state machine and messages; simulated clock, network and disk. */
export class SimPeer {
  readonly address: string
  readonly name: string
  readonly isSeed = false
  readonly plan: PeerPlan
  readonly desk: SimDesk
  readonly down: Link
  readonly disk = new SimDisk()
  readonly clock: ProcessClock
  isAlive = false
  /** Sends wrong bytes. */
  isLiar = false
  startedAt = 0
  finishedAt: number | null = null
  failure: ErrorCode | null = null
  /** Seconds × share of the file that could be read from its beginning. */
  readablePrefix = { area: 0, since: 0, pieces: 0 }
  readonly received = { seed: 0, peers: 0 }
  run: SimRun | null = null
  readonly #world: World
  readonly #fetches: PeerFetches
  #life = 0
  /** Until then the process does nothing. */
  #pausedUntil = 0
  #isGone = false
  #channel: PeerChannel | null = null
  #token = ''
  /** What each piece contains according to the supernode; 0 is unknown. */
  #expected = new Uint32Array(0)
  /** The present run has nothing to do with the supernode any more. */
  #hasLeft = false
  #isReportDue = false
  /** The present run has been on a channel. */
  #hasMet = false
  #backoff: Backoff
  #tick: Scheduled | null = null

  constructor(world: World, number: number, plan: PeerPlan) {
    this.#world = world
    this.address = `p${number}`
    this.name = `p${number}:1`
    this.plan = plan
    this.#backoff = new Backoff(world.chance('connect'))
    this.clock = new ProcessClock(world.queue)
    this.down = newLink(plan.down)
    this.#fetches = new PeerFetches({
      world,
      peer: this,
      token: () => this.#token,
      whenAwake: action => this.#whenAwake(action),
    })
    this.desk = new SimDesk({
      network: world.network,
      up: newLink(plan.up),
      activeMax: world.scenario.peerActive,
      read: (piece, token) => this.#serve(piece, token),
      onSend: (piece, active) => world.watch.onUpload(this.address, piece, active),
    })
  }

  /** Distinguishes the process from those that ran here before. */
  get life(): number {
    return this.#life
  }

  get isDone(): boolean {
    return this.finishedAt !== null || this.failure !== null
  }

  start(): void {
    const world = this.#world
    if (this.#isGone) return
    this.isAlive = true
    this.startedAt = world.queue.now
    this.readablePrefix.since = world.queue.now
    this.#openRun()
  }

  /** The process ends at once; what it had verified stays on its disk. @param isPowerLost un-synced writes may be lost too */
  crash(isPowerLost: boolean): void {
    if (!this.isAlive) return
    this.isAlive = false
    this.#life++
    this.run?.kill()
    this.run = null
    this.desk.stop()
    this.#fetches.stopAll()
    if (this.#tick) this.#tick.action = null
    this.#channel?.close(isPowerLost ? this.#world.scenario.lossSeconds : this.#world.latency())
    this.#channel = null
    if (isPowerLost) this.disk.tear(() => this.#world.chance('disk').next() < 0.5)
  }

  restart(): void {
    if (this.isAlive || this.#isGone || this.#world.isOver) return
    this.isAlive = true
    this.failure = null
    this.#world.watch.onRestarted(this)
    this.disk.reopen()
    this.#token = ''
    this.#hasLeft = false
    this.#openRun()
  }

  /** Leaves in order, as at the end of its life. */
  leave(): void {
    this.#channel?.send({ type: 'leave', taskId: TASK_ID })
    this.#world.kill(this.name, false)
    this.goForGood()
  }

  /** It will not come back. */
  goForGood(): void {
    this.#isGone = true
    this.#world.watch.onGone(this)
  }

  /** The process stands still, and so do its connections. */
  pause(seconds: number): void {
    const { network, queue } = this.#world
    this.#pausedUntil = Math.max(this.#pausedUntil, queue.now + seconds)
    network.resize(this.desk.up, 0)
    network.resize(this.down, 0)
    queue.at(this.#pausedUntil, () => {
      if (queue.now < this.#pausedUntil) return
      network.resize(this.desk.up, this.plan.up)
      network.resize(this.down, this.plan.down)
    })
  }

  /** The channel breaks; nothing else does. */
  cutChannel(): void {
    const channel = this.#channel
    this.#channel = null
    if (!channel) return
    channel.close(this.#world.latency())
    this.run?.send({ type: 'supernode-lost' })
    this.#connectLater(this.#world.queue.now - channel.openedAt)
  }

  onMessage(channel: PeerChannel, encoded: Uint8Array): void {
    this.#whenAwake(() => {
      if (channel === this.#channel) this.#receive(decodeSupernodeMessage(encoded))
    })
  }

  onChannelClosed(channel: PeerChannel): void {
    if (channel === this.#channel) this.cutChannel()
  }

  #openRun(): void {
    const life = this.#life
    const world = this.#world
    this.#expected = new Uint32Array(this.disk.journal.size)
    for (const piece of this.disk.journal.members()) this.#expected[piece] = this.disk.read(piece)
    this.#hasMet = false
    this.#backoff = new Backoff(world.chance('connect'))
    this.run = new SimRun({
      name: this.address,
      queue: world.queue,
      clock: this.clock,
      random: world.chance('download'),
      origin: world.origin,
      disk: this.disk,
      down: this.down,
      hasSupernode: true,
      reader: this.#reader,
      expectedValue: piece => this.#expected[piece] ?? 0,
      announce: () => this.#announce(),
      fetch: (piece, source) => this.#fetches.start(piece, source),
      cancelFetch: (piece, source) => this.#fetches.cancel(piece, source),
      askHeld: source => this.#fetches.askHeld(source),
      onVersion: () => {},
      onPiece: (piece, value) => {
        this.#learn(piece, value)
        this.#notePrefix()
      },
      onLength: () => {},
      onOver: code => {
        if (life === this.#life) this.#onOver(code)
      },
      afterStep: () => this.#reportSoon(),
    })
    this.#connect()
    this.#tickLater()
  }

  #onOver(code: ErrorCode | null): void {
    this.#notePrefix()
    if (code === null) {
      this.finishedAt ??= this.#world.queue.now
      this.#world.watch.onFinished(this)
      this.#leaveLater()
    } else {
      this.failure = code
      this.#leaveSwarm()
      this.#world.watch.onFailed(this, code)
    }
    if (this.#tick) this.#tick.action = null
  }

  #leaveLater(): void {
    const { scenario, queue } = this.#world
    const seconds = this.plan.staysSeconds ?? (scenario.leavesWhenComplete ? LEAVE_SECONDS : null)
    if (seconds === null) return
    const life = this.#life
    queue.after(seconds, () => {
      if (life === this.#life) this.leave()
    })
  }

  #tickLater(): void {
    this.#tick = this.#world.queue.after(TICK_SECONDS, () => {
      this.#whenAwake(() => {
        this.run?.send({ type: 'moved', bytes: isMoving(this.down) ? 1 : 0 })
        this.run?.send({ type: 'tick' })
        if (this.run && !this.run.machine.isOver) this.#tickLater()
      })
    })
  }

  #whenAwake(action: () => void): void {
    const life = this.#life
    const { queue } = this.#world
    if (queue.now >= this.#pausedUntil) {
      if (this.isAlive) action()
      return
    }
    queue.at(this.#pausedUntil, () => {
      if (life === this.#life) this.#whenAwake(action)
    })
  }

  #connect(): void {
    const life = this.#life
    const world = this.#world
    const supernode = world.supernodeFor(this)
    world.queue.after(2 * world.latency(), () => {
      if (life !== this.#life || this.#channel || this.#hasLeft) return
      if (
        !supernode?.isAlive ||
        world.isCut(this.address, supernode.name) ||
        this.#pausedUntil > world.queue.now
      ) {
        if (!this.#hasMet) this.run?.send({ type: 'supernode-unavailable' })
        return this.#connectLater(0)
      }
      this.#channel = new PeerChannel(world, this, supernode)
      this.#hasMet = true
      this.#channel.send({
        type: 'hello',
        version: 1,
        peerId: this.name,
        hostName: this.address,
        address: this.address,
        port: 1,
        uploadSlots: policyNamed(world.scenario.policy).limits?.uploadSlots ?? world.scenario.peerSlots,
        zone: `zone${this.plan.zone}`,
      })
    })
  }

  /** @param lastedSeconds how long the last channel was open */
  #connectLater(lastedSeconds: number): void {
    const life = this.#life
    this.#world.queue.after(this.#backoff.nextMs(lastedSeconds * 1000) / 1000, () => {
      if (life === this.#life && !this.#channel && this.run) this.#connect()
    })
  }

  /** A reader needs the next quarter first. */
  get #reader(): Reader | null {
    const { isStreaming } = this.#world.scenario
    return isStreaming ? { lookAhead: Math.ceil(this.#world.pieceCount / 4), fromByte: 0 } : null
  }

  #announce(): void {
    const request = { ...REQUEST, isSeedOnly: this.plan.isSeedOnly }
    if (this.run) this.#channel?.send(announceMessage(request, this.run.machine))
  }

  #receive(message: SupernodeMessage): void {
    const { run } = this
    if (!run || this.#hasLeft) return
    switch (message.type) {
      case 'welcome':
        run.machine.seedSource = this.#channel!.supernode.name
        return this.#announce()
      case 'layout': {
        const version = versionIn(message)
        // As the product's run has it.
        if (run.machine.isSettledHere && !run.machine.content.isAlike(version)) {
          this.#leaveSwarm()
          return run.send({ type: 'layout', version, digest: null, knownDigests: [] })
        }
        this.#token = message.token
        if (version.layout.lengthBytes !== null) this.#growTo(this.#world.pieceCount)
        const knownDigests = this.#learnDigests(message)
        return run.send({ type: 'layout', version, digest: null, knownDigests, ...originShareIn(message) })
      }
      case 'digests':
        return run.send({ type: 'digests', pieces: this.#learnDigests(message) })
      case 'assign':
        return run.send({ type: 'assigned', pieces: this.#channel!.sourcesIn(message) })
      case 'revoke':
        return
      case 'status':
        return run.send({ type: 'status', peers: message.peers, originBytes: message.originBytes })
      case 'error': {
        const code = isErrorCode(message.code) ? message.code : 'SUPERNODE_FAILED'
        return run.send({ type: 'refused', code, message: message.message })
      }
    }
  }

  #leaveSwarm(): void {
    this.#hasLeft = true
    this.#channel?.send({ type: 'leave', taskId: TASK_ID })
  }

  #learnDigests(message: Parameters<typeof digestsIn>[0]): number[] {
    for (const { piece, digest } of digestsIn(message)) this.#learn(piece, valueInDigest(digest))
    return message.pieces
  }

  #learn(piece: number, value: number): void {
    if (piece >= this.#expected.length) this.#growTo(2 * piece + 2)
    this.#expected[piece] = value
  }

  #growTo(size: number): void {
    if (size <= this.#expected.length) return
    const larger = new Uint32Array(size)
    larger.set(this.#expected)
    this.#expected = larger
  }

  #reportSoon(): void {
    if (this.#isReportDue || !this.#channel) return
    this.#isReportDue = true
    const life = this.#life
    this.#world.queue.after(0, () => {
      this.#isReportDue = false
      if (life !== this.#life || !this.run || !this.#channel) return
      const report = this.run.machine.takeReport()
      if (!isEmptyReport(report)) this.#channel.send(reportMessage(TASK_ID, report, this.#channel.link))
    })
  }

  #serve(piece: number, token: string): number | ErrorCode {
    if (token !== this.#token || this.run?.machine.phase === 'failed') return 'TOKEN_INVALID'
    if (!this.disk.journal.has(piece)) return 'PIECE_NOT_HELD'
    const value = this.disk.read(piece)
    return this.isLiar || this.#world.isCorrupted() ? damaged(value) : value
  }

  #notePrefix(): void {
    const prefix = this.readablePrefix
    const { now } = this.#world.queue
    prefix.area += (prefix.pieces / Math.max(1, this.#world.pieceCount)) * (now - prefix.since)
    prefix.since = now
    while (this.disk.journal.has(prefix.pieces)) prefix.pieces++
  }
}
