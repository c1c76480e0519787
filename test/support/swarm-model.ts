import assert from 'node:assert/strict'
import type { ErrorCode } from '../../src/core/error.ts'
import { seededRandom } from '../../src/core/random.ts'
import { type HostId, Hosts } from '../../src/swarm/hosts.ts'
import type { Reader } from '../../src/swarm/member.ts'
import { type Assignment, type ConsumerReport, TaskSwarm } from '../../src/swarm/task-swarm.ts'
import { SwarmWatch } from './swarm-watch.ts'

/**
 * A small deterministic world around the real TaskSwarm: discrete events, transfers as fluid flows. Each upload shares its source's rate
 * equally with the others and is capped by its receiver's equal share. Rates are in pieces per second, times in milliseconds.
 */
export type ModelHost = {
  readonly up: number
  readonly down: number
  readonly slots?: number
  readonly joinAtMs?: number
  /** Falls silent then; the supernode notices `lossMs` later. */
  readonly diesAtMs?: number
  readonly leavesWhenComplete?: boolean
  /** Every piece that it sends is wrong. */
  readonly isLiar?: boolean
  /** Finds every piece wrong that it receives from others than the seed. */
  readonly isParanoid?: boolean
  readonly held?: readonly number[]
  readonly reader?: Reader
  /** The reader is elsewhere from then on. */
  readonly readerMoves?: { readonly atMs: number; readonly to: Reader }
}

export type ModelOptions = {
  readonly seed?: number
  readonly pieces: number
  /** The number of pieces becomes known with the last one. */
  readonly isLengthUnknown?: boolean
  readonly seedUp: number
  readonly seedSlots?: number
  /** The seed gets one piece after the other from its origin; 0 is all at once. */
  readonly seedPieceEveryMs?: number
  /** Of the first tries to fetch from the seed, so many fail. */
  readonly seedFailures?: number
  readonly hosts: readonly ModelHost[]
  readonly window?: number
  readonly latencyMs?: number
  readonly hasTicks?: boolean
  readonly limitMs?: number
}

export type ModelResult = {
  /** When each host had everything; null for those that did not finish. */
  readonly finishedAtMs: (number | null)[]
  readonly bySeed: number
  readonly byPeers: number
  readonly assignments: readonly Assignment[]
}

type Peer = {
  readonly id: HostId
  readonly spec: ModelHost
  readonly held: Set<number>
  isAlive: boolean
  finishedAtMs: number | null
}

type Flow = {
  readonly consumer: Peer
  readonly source: HostId
  readonly piece: number
  readonly startedAtMs: number
  left: number
  isSlow: boolean
}

const SEED: HostId = 0
const LOSS_MS = 2_000
const TICK_MS = 250
const HEDGE_MS = 4_000
const ABANDON_MS = 30_000

export function runSwarmModel(options: ModelOptions): ModelResult {
  return new SwarmModel(options).run()
}

class SwarmModel {
  readonly #options: ModelOptions
  readonly #hosts = new Hosts()
  readonly #swarm: TaskSwarm
  readonly #watch: SwarmWatch
  readonly #peers = new Map<HostId, Peer>()
  readonly #timers: { atMs: number; action: () => void }[] = []
  readonly #flows: Flow[] = []
  readonly #seedHolds = new Set<number>()
  #seedFailuresLeft: number
  #nowMs = 0
  #bySeed = 0
  #byPeers = 0

  constructor(options: ModelOptions) {
    this.#options = options
    const { pieces, isLengthUnknown, seed = 1, window = 4, seedSlots = 16 } = options
    this.#seedFailuresLeft = options.seedFailures ?? 0
    this.#hosts.add(SEED, seedSlots)
    this.#swarm = new TaskSwarm(
      { hosts: this.#hosts, seed: SEED, random: seededRandom(seed), window, pieceLength: 1 },
      isLengthUnknown ? null : pieces,
    )
    this.#watch = new SwarmWatch(SEED, window, new Map([[SEED, seedSlots]]))
  }

  run(): ModelResult {
    const { hosts, limitMs = 3_600_000, hasTicks = true } = this.#options
    hosts.forEach((spec, i) => {
      const peer: Peer = { id: i + 1, spec, held: new Set(spec.held), isAlive: true, finishedAtMs: null }
      this.#peers.set(peer.id, peer)
      this.#at(spec.joinAtMs ?? 0, () => this.#join(peer))
      const { readerMoves } = spec
      if (readerMoves) this.#at(readerMoves.atMs, () => this.#moveReader(peer, readerMoves.to))
      if (spec.diesAtMs !== undefined) this.#at(spec.diesAtMs, () => this.#die(peer))
    })
    this.#offerSeedPieces()
    if (hasTicks) this.#tickLater()
    while (this.#isUnfinished()) {
      assert.ok(this.#nowMs < limitMs, `not finished after ${limitMs / 1000} s:${this.#describe()}`)
      assert.ok(this.#step(), `nothing happens any more:${this.#describe()}`)
    }
    this.#end()
    return {
      finishedAtMs: [...this.#peers.values()].map(peer => peer.finishedAtMs),
      bySeed: this.#bySeed,
      byPeers: this.#byPeers,
      assignments: this.#watch.assignments,
    }
  }

  #isUnfinished(): boolean {
    return [...this.#peers.values()].some(peer => peer.isAlive && peer.finishedAtMs === null)
  }

  #describe(): string {
    const missing = [...this.#peers.values()]
      .filter(peer => peer.isAlive && peer.finishedAtMs === null)
      .map(peer => `${peer.id}: ${peer.held.size} held, ${this.#watch.outstandingOf(peer.id).length} coming`)
    return `\n${missing.join('\n')}`
  }

  /** To the next event. Returns whether there was one. */
  #step(): boolean {
    const rates = this.#rates()
    let nextMs = Number.POSITIVE_INFINITY
    for (const { atMs } of this.#timers) nextMs = Math.min(nextMs, atMs)
    this.#flows.forEach((flow, i) => {
      if (rates[i] > 0) nextMs = Math.min(nextMs, this.#nowMs + (flow.left / rates[i]) * 1000)
    })
    if (nextMs === Number.POSITIVE_INFINITY) return false
    this.#flows.forEach((flow, i) => {
      flow.left -= (rates[i] * (nextMs - this.#nowMs)) / 1000
    })
    this.#nowMs = nextMs
    const arrived = this.#flows.filter(flow => flow.left <= 1e-9)
    for (const flow of arrived) if (this.#take(flow)) this.#onArrived(flow)
    for (const timer of this.#timers.filter(due => due.atMs <= this.#nowMs)) {
      this.#timers.splice(this.#timers.indexOf(timer), 1)
      timer.action()
      this.#flush()
    }
    return true
  }

  /** Of each flow. */
  #rates(): number[] {
    const uploads = new Map<HostId, number>()
    const downloads = new Map<Peer, number>()
    for (const { source, consumer } of this.#flows) {
      uploads.set(source, (uploads.get(source) ?? 0) + 1)
      downloads.set(consumer, (downloads.get(consumer) ?? 0) + 1)
    }
    return this.#flows.map(({ source, consumer }) => {
      const up = source === SEED ? this.#options.seedUp : this.#peers.get(source)!.spec.up
      return Math.min(up / uploads.get(source)!, consumer.spec.down / downloads.get(consumer)!)
    })
  }

  #at(atMs: number, action: () => void): void {
    this.#timers.push({ atMs, action })
  }

  /** Messages between peer and supernode take their time, and keep their order. */
  #later(action: () => void): void {
    this.#at(this.#nowMs + (this.#options.latencyMs ?? 5), action)
  }

  #offerSeedPieces(): void {
    const { pieces, seedPieceEveryMs = 0, isLengthUnknown } = this.#options
    for (let piece = 0; piece < pieces; piece++) {
      this.#at(piece * seedPieceEveryMs, () => {
        this.#seedHolds.add(piece)
        this.#watch.offer(piece)
        this.#swarm.offerSeedPiece(piece, this.#nowMs)
      })
    }
    this.#at(pieces * seedPieceEveryMs, () => {
      if (!isLengthUnknown) return
      this.#swarm.seal(pieces)
      for (const peer of this.#peers.values()) this.#noticeFinish(peer)
    })
  }

  #tickLater(): void {
    this.#at(this.#nowMs + TICK_MS, () => {
      this.#swarm.tick(this.#nowMs)
      this.#lookAtSlowFlows()
      this.#tickLater()
    })
  }

  #join(peer: Peer): void {
    const slots = peer.spec.slots ?? 4
    this.#hosts.add(peer.id, slots)
    this.#watch.join(peer.id, slots, peer.held)
    this.#swarm.join(
      peer.id,
      [...peer.held].sort((a, b) => a - b),
      this.#nowMs,
      { reader: peer.spec.reader },
    )
    this.#noticeFinish(peer)
  }

  #moveReader(peer: Peer, reader: Reader): void {
    if (peer.isAlive && this.#swarm.isMember(peer.id)) this.#report(peer, { reader })
  }

  #die(peer: Peer): void {
    peer.isAlive = false
    for (const flow of this.#flows.filter(({ consumer }) => consumer === peer)) this.#take(flow)
    for (const flow of this.#flows.filter(({ source }) => source === peer.id)) {
      if (this.#take(flow)) this.#reportFailure(flow, 'SOURCE_GONE')
    }
    this.#at(this.#nowMs + LOSS_MS, () => this.#leave(peer))
  }

  #leave(peer: Peer): void {
    peer.isAlive = false
    this.#watch.leave(peer.id)
    this.#swarm.leave(peer.id, this.#nowMs)
    this.#hosts.remove(peer.id)
  }

  #flush(): void {
    for (const assignment of this.#swarm.takeAssignments()) {
      this.#watch.assign(assignment, this.#nowMs)
      this.#later(() => this.#begin(assignment))
    }
    this.#watch.checkLoads(this.#hosts, this.#nowMs)
  }

  #begin({ consumer: id, piece, source }: Assignment): void {
    const consumer = this.#peers.get(id)!
    if (!consumer.isAlive) return
    if (consumer.held.has(piece)) {
      return this.#report(consumer, { released: [{ piece, source }], fromOrigin: [piece] })
    }
    const flow: Flow = { consumer, piece, source, startedAtMs: this.#nowMs, left: 1, isSlow: false }
    if (source === SEED) {
      if (this.#seedFailuresLeft-- > 0) return this.#reportFailure(flow, 'SOURCE_GONE')
    } else {
      const peer = this.#peers.get(source)!
      if (!peer.isAlive) return this.#reportFailure(flow, 'SOURCE_GONE')
      if (!peer.held.has(piece)) return this.#reportFailure(flow, 'PIECE_NOT_HELD')
    }
    this.#flows.push(flow)
  }

  #take(flow: Flow): boolean {
    const at = this.#flows.indexOf(flow)
    if (at >= 0) this.#flows.splice(at, 1)
    return at >= 0
  }

  #onArrived(flow: Flow): void {
    const { consumer, piece, source } = flow
    const isWrong = source !== SEED && (this.#peers.get(source)!.spec.isLiar || consumer.spec.isParanoid)
    if (isWrong) return this.#reportFailure(flow, 'DIGEST_MISMATCH')
    if (source === SEED) this.#bySeed++
    else this.#byPeers++
    consumer.held.add(piece)
    const rivals = this.#flows.filter(other => other.consumer === consumer && other.piece === piece)
    for (const rival of rivals) this.#take(rival)
    this.#report(consumer, {
      done: [{ piece, source }],
      released: rivals.map(rival => ({ piece, source: rival.source })),
    })
    this.#noticeFinish(consumer)
  }

  #noticeFinish(peer: Peer): void {
    if (this.#swarm.pieceCount === null || peer.held.size < this.#swarm.pieceCount) return
    peer.finishedAtMs ??= this.#nowMs
    if (peer.spec.leavesWhenComplete && peer.isAlive) {
      peer.isAlive = false
      this.#later(() => this.#leave(peer))
    }
  }

  #lookAtSlowFlows(): void {
    for (const flow of [...this.#flows]) {
      const ageMs = this.#nowMs - flow.startedAtMs
      if (ageMs > ABANDON_MS) {
        if (this.#take(flow)) this.#reportFailure(flow, 'SOURCE_SLOW')
      } else if (ageMs > HEDGE_MS && !flow.isSlow) {
        flow.isSlow = true
        this.#report(flow.consumer, { slow: [flow.piece] })
      }
    }
  }

  #reportFailure({ consumer, piece, source }: Flow, code: ErrorCode): void {
    this.#report(consumer, { failed: [{ piece, source, code }] })
  }

  #report(consumer: Peer, report: Partial<ConsumerReport>): void {
    const whole = { done: [], failed: [], released: [], slow: [], fromOrigin: [], ...report }
    this.#later(() => {
      this.#watch.report(consumer.id, whole)
      this.#swarm.report(consumer.id, whole, this.#nowMs)
    })
  }

  #end(): void {
    for (const peer of this.#peers.values()) {
      if (this.#swarm.isMember(peer.id)) this.#watch.leave(peer.id)
    }
    this.#swarm.dissolve()
    this.#watch.checkLoads(this.#hosts, this.#nowMs)
    for (const host of [SEED, ...this.#peers.keys()]) {
      if (this.#hosts.slotsOf(host) > 0) assert.equal(this.#hosts.utilisation(host), 0, `slots of ${host}`)
    }
  }
}
