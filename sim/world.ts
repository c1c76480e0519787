import { pieceCount } from '../src/core/piece-layout.ts'
import { type Random, seededRandom } from '../src/core/random.ts'
import type { CastMember } from './cast.ts'
import type { SimDisk } from './disk.ts'
import { EventQueue } from './event-queue.ts'
import { type Link, Network, newLink } from './network.ts'
import { generationIn, pieceValue, SimOrigin } from './origin.ts'
import { type PeerPlan, SimPeer } from './peer.ts'
import type { PeerChannel } from './peer-channel.ts'
import type { Scenario } from './scenario.ts'
import { SimSupernode } from './supernode.ts'
import { Watch } from './watch.ts'

/** Any process that others fetch from. */
export type Source = SimPeer | SimSupernode

/** One simulated world. All of it follows from the scenario and its seed. */
export class World {
  readonly scenario: Scenario
  /** Peers are given, and not drawn from the scenario. */
  readonly hasCast: boolean
  readonly queue = new EventQueue()
  readonly network = new Network(this.queue)
  readonly origin: SimOrigin
  readonly pieceCount: number
  readonly supernodes: SimSupernode[] = []
  readonly peers: SimPeer[] = []
  readonly watch: Watch
  isOver = false
  /** The world goes on until then even if every peer is done. */
  openUntil = 0
  /** Share of pieces that arrive wrong. */
  corruptionRate = 0
  /** One way, for all, seconds. */
  extraLatency = 0
  readonly #streams = new Map<string, Random>()
  readonly #latencyChance: Random
  readonly #zoneLinks: { in: Link; out: Link }[] = []
  readonly #byName = new Map<string, Source>()
  readonly #channels = new Set<PeerChannel>()
  /** Until when what the one host sends to the other is lost. */
  readonly #cuts = new Map<string, number>()
  /** Peers move to the next supernode when theirs is gone. */
  readonly #supernodeOf = new Map<SimPeer, number>()

  constructor(scenario: Scenario, cast: readonly CastMember[] | null = null) {
    this.scenario = scenario
    this.hasCast = cast !== null
    const { queue, network } = this
    const { lengthBytes, pieceLength, originRate, hasLength, hasRanges } = scenario
    this.watch = new Watch(this)
    this.origin = new SimOrigin(
      { lengthBytes, pieceLength, rateBytesPerSecond: originRate, hasLength, hasRanges },
      {
        queue,
        network,
        random: this.chance('origin'),
        onPiece: (reader, piece) => this.watch.onOrigin(reader, piece),
      },
    )
    this.pieceCount = pieceCount(this.origin.layout)
    this.#latencyChance = this.chance('latency')
    for (let zone = 0; zone < scenario.zones; zone++) {
      this.#zoneLinks.push({ in: newLink(scenario.zoneRate), out: newLink(scenario.zoneRate) })
    }
    for (let i = 0; i < scenario.supernodes; i++) this.#addSupernode(i)
    for (let i = 1; i <= scenario.peers; i++) this.#addPeer(i, cast?.[i - 1])
  }

  /** A stream of chance with a name: what one part draws does not change what another does. */
  chance(name: string): Random {
    let stream = this.#streams.get(name)
    if (!stream) {
      stream = this.random(name)
      this.#streams.set(name, stream)
    }
    return stream
  }

  /** Such a stream from its beginning, the same every time. */
  random(name: string): Random {
    let mixed = this.scenario.seed | 0
    for (let i = 0; i < name.length; i++) mixed = Math.imul(mixed ^ name.charCodeAt(i), 0x01000193)
    return seededRandom(mixed)
  }

  /** One way, seconds. */
  latency(): number {
    const { latencySeconds, jitterSeconds } = this.scenario
    return latencySeconds + this.extraLatency + jitterSeconds * this.#latencyChance.next()
  }

  /** Whether a piece is damaged on its way. */
  isCorrupted(): boolean {
    return this.corruptionRate > 0 && this.chance('corruption').next() < this.corruptionRate
  }

  /** Whether messages from `a` to `b` are lost at present. */
  isCut(a: string, b: string): boolean {
    if (this.#cuts.size === 0) return false
    const { now } = this.queue
    for (const key of [`${hostOf(a)}>${hostOf(b)}`, `${hostOf(a)}>*`, `*>${hostOf(b)}`]) {
      const until = this.#cuts.get(key)
      if (until !== undefined && now < until) return true
    }
    return false
  }

  /** Everything from `a` to `b` is lost for a while; `*` is everybody. */
  cut(a: string, b: string, seconds: number): void {
    this.#cuts.set(`${a}>${b}`, this.queue.now + seconds)
  }

  supernodeFor(peer: SimPeer): SimSupernode | undefined {
    const at = this.#supernodeOf.get(peer) ?? peer.plan.supernode
    for (let i = 0; i < this.supernodes.length; i++) {
      const index = (at + i) % this.supernodes.length
      const { isAlive, name } = this.supernodes[index]
      if (!isAlive || this.isCut(peer.address, name) || this.isCut(name, peer.address)) continue
      this.#supernodeOf.set(peer, index)
      return this.supernodes[index]
    }
    return undefined
  }

  sourceNamed(name: string): Source | undefined {
    return this.#byName.get(name)
  }

  /** Links between a source and its consumer, their own included. A border that is crossed is counted. */
  pathTo(consumer: SimPeer, source: Source): Link[] {
    const { zone } = consumer.plan
    const { up } = source.desk
    const from = source instanceof SimPeer ? source.plan.zone : -1
    if (from !== zone) this.watch.onCrossing()
    if (from === zone || this.scenario.zoneRate === Number.POSITIVE_INFINITY) return [up, consumer.down]
    const entry = this.#zoneLinks[zone].in
    return from < 0 ? [up, entry, consumer.down] : [up, this.#zoneLinks[from].out, entry, consumer.down]
  }

  channelOpened(channel: PeerChannel): void {
    this.#channels.add(channel)
  }

  channelClosed(channel: PeerChannel): void {
    this.#channels.delete(channel)
  }

  /** A process dies. @param isSilent nobody is told: the machine is gone with it */
  kill(name: string, isSilent: boolean): void {
    const victim = this.#byName.get(name)
    if (!victim?.isAlive) return
    if (victim instanceof SimPeer) victim.crash(isSilent)
    else {
      victim.crash()
      for (const channel of [...this.#channels]) {
        if (channel.supernode === victim)
          channel.breakDown(isSilent ? this.scenario.lossSeconds : this.latency())
      }
    }
    victim.desk.tellGone(isSilent)
  }

  /** Runs until every peer is done, nothing happens any more, or the scenario's limit is reached. */
  run(): void {
    const { limitSeconds } = this.scenario
    while (!this.isOver && this.queue.now < limitSeconds && this.queue.step());
    this.isOver = true
  }

  /** To be called whenever a download has ended. */
  endIfDone(): void {
    if (this.watch.pendingCount === 0 && this.queue.now >= this.openUntil) this.isOver = true
  }

  #addPeer(number: number, given: CastMember | undefined): void {
    const peer = new SimPeer(this, number, given?.plan ?? this.#planOf(number))
    this.peers.push(peer)
    this.#byName.set(peer.name, peer)
    if (given) this.#enter(peer, given)
    else this.queue.at(this.#arrivalOf(number), () => peer.start())
  }

  #planOf(number: number): PeerPlan {
    const { up, down, slowShare, zones, supernodes } = this.scenario
    const slowEvery = slowShare > 0 ? Math.round(1 / slowShare) : 0
    const share = slowEvery > 0 && number % slowEvery === 0 ? 0.1 : 1
    return { up: up * share, down: down * share, zone: number % zones, supernode: number % supernodes }
  }

  #enter(peer: SimPeer, { arrivesAt, leavesAt, held }: CastMember): void {
    if (held.length > 0) this.#fill(peer.disk, held)
    this.queue.at(arrivesAt, () => peer.start())
    if (leavesAt !== null) this.queue.at(leavesAt, () => peer.isAlive && peer.leave())
  }

  #addSupernode(index: number): void {
    const { supernodeUp, originRate } = this.scenario
    const supernode = new SimSupernode(this, `supernode${index}:1`, { up: supernodeUp, down: originRate })
    this.supernodes.push(supernode)
    this.#byName.set(supernode.name, supernode)
    if (this.scenario.isWarm) this.#fill(supernode.disk, Array(this.pieceCount).keys())
  }

  /** Puts there what the origin has. */
  #fill(disk: SimDisk, pieces: Iterable<number>): void {
    const { version } = this.origin
    disk.adopt(version, this.pieceCount)
    for (const piece of pieces) disk.write(piece, pieceValue(generationIn(version), piece))
  }

  #arrivalOf(number: number): number {
    const { arrival, arrivalSeconds, peers } = this.scenario
    const chance = this.chance('arrival').next()
    if (arrival === 'burst') return 0.01 * chance
    if (arrival === 'wave') return (arrivalSeconds * number) / peers
    return arrivalSeconds * chance
  }
}

function hostOf(name: string): string {
  const colon = name.indexOf(':')
  return colon < 0 ? name : name.slice(0, colon)
}
