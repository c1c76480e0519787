import type { ErrorCode } from '../src/core/error.ts'
import type { HostId } from '../src/swarm/hosts.ts'
import type { Assignment, ConsumerReport } from '../src/swarm/task-swarm.ts'
import type { SimPeer } from './peer.ts'
import type { SimSupernode } from './supernode.ts'
import type { World } from './world.ts'

/** Who looks on while it happens. */
export type Onlooker = {
  onAssigned(supernode: SimSupernode, consumer: HostId, assignments: readonly Assignment[]): void
  onReport(supernode: SimSupernode, host: HostId, report: ConsumerReport): void
  onJoined(supernode: SimSupernode, host: HostId): void
  onLeft(supernode: SimSupernode, host: HostId): void
  onUpload(source: string, active: number): void
  onReceived(peer: SimPeer, piece: number, value: number): void
  onFinished(peer: SimPeer): void
  onFailed(peer: SimPeer, code: ErrorCode): void
}

/** Sees what happens: counts it, tells the onlooker, and folds it into a digest by which two runs are compared. */
export class Watch {
  readonly #world: World
  #high = 0x811c9dc5
  #low = 0x1000193
  /** Peers whose download has yet to end. */
  readonly #pending = new Set<string>()
  onlooker: Onlooker | null = null
  messages = 0
  messageBytes = 0
  crossings = 0
  readonly failures = new Map<ErrorCode, number>()

  constructor(world: World) {
    this.#world = world
    for (let i = 1; i <= world.scenario.peers; i++) this.#pending.add(`p${i}`)
  }

  /** Of all events so far. */
  get digest(): string {
    return [this.#high, this.#low].map(half => (half >>> 0).toString(16).padStart(8, '0')).join('')
  }

  get pendingCount(): number {
    return this.#pending.size
  }

  onMessage(type: string, encoded: Uint8Array): void {
    this.messages++
    this.messageBytes += encoded.length
    let mixed = type.length
    for (let i = 0; i < encoded.length; i++) mixed = Math.imul(mixed ^ encoded[i], 0x01000193)
    this.#mix(mixed)
  }

  onReport(supernode: SimSupernode, host: HostId, report: ConsumerReport): void {
    this.onlooker?.onReport(supernode, host, report)
  }

  onJoined(supernode: SimSupernode, host: HostId): void {
    this.onlooker?.onJoined(supernode, host)
  }

  onLeft(supernode: SimSupernode, host: HostId): void {
    this.onlooker?.onLeft(supernode, host)
  }

  /** A source begins to send. */
  onUpload(source: string, piece: number, active: number): void {
    this.#mixWords(source, ' sends ', String(piece))
    this.onlooker?.onUpload(source, active)
  }

  /** The origin has sent a piece. */
  onOrigin(reader: string, piece: number): void {
    this.#mixWords(`${reader} reads ${piece}`)
  }

  /** Something is done to the world. */
  onFault(fault: object): void {
    this.#mixWords(JSON.stringify(fault))
  }

  onAssigned(supernode: SimSupernode, consumer: HostId, assignments: readonly Assignment[]): void {
    for (const { piece, source } of assignments) this.#mix(consumer * 31 + piece * 7 + source)
    this.onlooker?.onAssigned(supernode, consumer, assignments)
  }

  onReceived(peer: SimPeer, piece: number, from: { source: string; value: number }): void {
    const { source, value } = from
    this.#mixWords(peer.address, ' has ', String(piece), ' of ', source)
    this.onlooker?.onReceived(peer, piece, value)
  }

  /** A transfer crosses a zone's border. */
  onCrossing(): void {
    this.crossings++
  }

  onFinished(peer: SimPeer): void {
    this.#mixWords(`${peer.address} finished`)
    this.#settle(peer.address)
    this.onlooker?.onFinished(peer)
  }

  onFailed(peer: SimPeer, code: ErrorCode): void {
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1)
    this.#mixWords(`${peer.address} ${code}`)
    this.#settle(peer.address)
    this.onlooker?.onFailed(peer, code)
  }

  /** The peer's download begins again. */
  onRestarted(peer: SimPeer): void {
    this.#mixWords(`${peer.address} restarted`)
    this.#pending.add(peer.address)
  }

  /** The peer will not come back. */
  onGone(peer: SimPeer): void {
    this.#mixWords(`${peer.address} gone`)
    this.#settle(peer.address)
  }

  #settle(address: string): void {
    this.#pending.delete(address)
    this.#world.endIfDone()
  }

  /** As if the words were one. */
  #mixWords(...words: string[]): void {
    let mixed = 0
    for (const word of words) mixed += word.length
    for (const word of words) {
      for (let i = 0; i < word.length; i++) mixed = Math.imul(mixed ^ word.charCodeAt(i), 0x01000193)
    }
    this.#mix(mixed)
  }

  #mix(fact: number): void {
    const now = Math.round(this.#world.queue.now * 1e6)
    this.#high = Math.imul(this.#high ^ fact, 0x01000193) ^ (now | 0)
    this.#low = Math.imul(this.#low ^ (fact + this.#high), 0x85ebca6b) ^ (this.#low >>> 13)
  }
}
