import type { ErrorCode } from '../src/core/error.ts'
import { SEED_HOST } from '../src/supernode/session.ts'
import type { HostId } from '../src/swarm/hosts.ts'
import { LINE_MAX, OUTSTANDING_MAX, SLOT_MIN_MS, WINDOW_MAX } from '../src/swarm/limits.ts'
import type { Assignment, ConsumerReport } from '../src/swarm/task-swarm.ts'
import { DEFAULT_LIMITS } from '../src/transfer/download-options.ts'
import type { FaultKind } from './faults.ts'
import { damaged, generationIn, pieceValue } from './origin.ts'
import type { SimPeer } from './peer.ts'
import { type Plan, scenarioOf } from './plan.ts'
import type { SimSupernode } from './supernode.ts'
import type { Onlooker } from './watch.ts'
import type { World } from './world.ts'

/** What must hold in every world, whatever goes wrong in it. */

export type Violation = {
  /** The rule that was broken; equal for equal reasons. */
  readonly rule: string
  readonly at: number
  readonly detail: string
}

/** Round trips do not count below this latency. */
const NEAR_SECONDS = 0.0005
/** By which sums of bytes may differ: flows are fractions. */
const BYTES_LOST = 8
const VIOLATIONS_MAX = 20

/** Faults that part nobody from the supernode or the origin. */
const HARMLESS: ReadonlySet<FaultKind> = new Set([
  'crash',
  'leave',
  'reset-uploads',
  'liar',
  'disk-full',
  'disk-broken',
])

/** Codes with which a download may end, by the fault that is to blame. */
const BLAME: readonly { codes: RegExp; kinds: readonly FaultKind[] }[] = [
  { codes: /^DISK_/, kinds: ['disk-full', 'disk-broken', 'supernode-disk'] },
  { codes: /^ORIGIN_CHANGED$/, kinds: ['origin-change'] },
  {
    codes: /^ORIGIN_(?:UNREACHABLE|TRUNCATED|STALLED|ERROR)$|^DOWNLOAD_STALLED$/,
    kinds: ['origin-failing', 'origin-slow'],
  },
]

/** One consumer's assignments at one supernode, by piece and source. */
type Ledger = {
  readonly open: Map<string, { source: HostId; at: number; isWhole: boolean }>
  /** Assigned just before an announce arrived that did not know of them; their ends are still reported. */
  readonly crossed: Set<string>
}

export class Checkers implements Onlooker {
  readonly violations: Violation[] = []
  readonly #world: World
  readonly #plan: Plan
  readonly #ledgers = new Map<SimSupernode, { life: number; hosts: Map<HostId, Ledger> }>()
  readonly #isHarmless: boolean
  readonly #isEven: boolean

  constructor(world: World, plan: Plan) {
    this.#world = world
    this.#plan = plan
    this.#isEven = isEven(plan)
    this.#isHarmless = plan.faults.every(({ kind }) => HARMLESS.has(kind))
  }

  /** Seconds after the last fault and the last arrival by which every download has ended. */
  static boundSeconds(plan: Plan): number {
    const { lengthBytes, up, down, originRate, supernodeUp, slowShare, lossSeconds, peers } = scenarioOf(plan)
    const { silenceMs, stallMs, graceMs } = DEFAULT_LIMITS
    const slowest = Math.min(up, down, originRate, supernodeUp) * (slowShare > 0 ? 0.1 : 1)
    const waits = lossSeconds + (silenceMs + 3 * stallMs + graceMs) / 1000
    // At worst each of them reads everything by itself, from one place.
    const alone = (peers * lengthBytes) / Math.min(supernodeUp, originRate)
    return waits + (4 * lengthBytes) / slowest + alone
  }

  onAssigned(supernode: SimSupernode, consumer: HostId, assignments: readonly Assignment[]): void {
    const { open } = this.#ledgerOf(supernode, consumer)
    for (const { piece, source } of assignments) {
      const key = `${piece}/${source}`
      if (open.has(key)) this.fail('assigned twice', `piece ${key} to ${consumer} at ${supernode.name}`)
      const isWhole = supernode.hosts.sharesOf(source, consumer).atSource === 1
      open.set(key, { source, at: this.#world.queue.now, isWhole })
    }
    const most = OUTSTANDING_MAX * (Math.max(this.#world.scenario.window, WINDOW_MAX) + LINE_MAX)
    const count = [...open.values()].filter(({ isWhole }) => isWhole).length
    if (count > most) this.fail('window exceeded', `${count} of ${most} at host ${consumer}`)
    for (const source of new Set(assignments.map(assignment => assignment.source)))
      this.#checkSlots(supernode, source)
  }

  onReport(supernode: SimSupernode, host: HostId, report: ConsumerReport): void {
    const { open, crossed } = this.#ledgerOf(supernode, host)
    for (const { piece, source } of [...report.done, ...report.failed, ...report.released]) {
      const key = `${piece}/${source}`
      const wasThere = open.delete(key) || crossed.delete(key)
      if (!wasThere && this.#plan.faults.length === 0) {
        this.fail('ended twice', `piece ${piece} from ${source} at host ${host}`)
      }
    }
  }

  onJoined(supernode: SimSupernode, host: HostId): void {
    const { open, crossed } = this.#ledgerOf(supernode, host)
    for (const key of open.keys()) crossed.add(key)
    open.clear()
  }

  onLeft(supernode: SimSupernode, host: HostId): void {
    this.#ledgerOf(supernode, host).open.clear()
  }

  onUpload(source: string, active: number): void {
    const { peerActive, seedActive } = this.#world.scenario
    const most = source.startsWith('supernode') ? seedActive : peerActive
    if (active > most) this.fail('upload quota exceeded', `${source} sends ${active} of ${most}`)
  }

  onReceived(peer: SimPeer, piece: number, value: number): void {
    const version = peer.run?.machine.content.version
    if (!version) return
    const wanted = pieceValue(generationIn(version), piece)
    if (value !== wanted && value !== damaged(wanted)) {
      this.fail('token of another generation accepted', `piece ${piece} at ${peer.address}`)
    }
  }

  onFinished(peer: SimPeer): void {
    const { version } = peer.disk
    const { machine } = peer.run!
    if (!version || peer.disk.journal.count !== this.#world.pieceCount) {
      return this.fail('complete without every piece', `${peer.address}: ${peer.disk.journal.count}`)
    }
    if (!peer.disk.isTrue) this.fail('wrong file', peer.address)
    const { origin, supernode, peers, local } = machine.bytes
    const sum = origin + supernode + peers + local
    if (sum !== this.#world.scenario.lengthBytes) {
      this.fail('bytes not accounted for', `${peer.address}: ${JSON.stringify(machine.bytes)}`)
    }
  }

  onFailed(peer: SimPeer, code: ErrorCode): void {
    const kinds = new Set(this.#plan.faults.map(fault => fault.kind))
    const isJustified = BLAME.some(row => row.codes.test(code) && row.kinds.some(kind => kinds.has(kind)))
    if (!isJustified) this.fail(`unjustified ${code}`, peer.address)
  }

  /** To be called now and then. */
  look(): void {
    for (const process of [...this.#world.peers, ...this.#world.supernodes]) {
      if (process.isAlive && !process.disk.isTrue) this.fail('wrong piece in a journal', process.name)
    }
  }

  /** When everybody is done and still there. */
  lookAtEnd(): void {
    this.look()
    for (const [supernode, { life, hosts }] of this.#ledgers) {
      if (!supernode.isAlive || life !== supernode.life) continue
      for (const [host, { open }] of hosts) {
        if (open.size > 0) this.fail('assignment without end', `host ${host}: ${[...open.keys()]}`)
      }
    }
    this.#checkBytes()
    if (this.#isHarmless) this.#checkOrigin()
  }

  /** When everybody has left. */
  lookAfter(): void {
    for (const supernode of this.#world.supernodes) {
      const { memberCount, hosts, name } = supernode
      if (memberCount > 0) this.fail('members left over', `${memberCount} at ${name}`)
      const used = hosts.utilisation(SEED_HOST)
      if (used > 0) this.fail('slots left over', `${used} of the seed at ${name}`)
    }
  }

  /** The downloads have not ended in time. */
  onLate(): void {
    const late = this.#world.peers.filter(peer => peer.isAlive && !peer.run?.machine.isOver)
    const states = late.map(({ address, run }) => `${address} ${run?.machine.phase}`)
    this.fail('download without end', states.join(', '))
  }

  fail(rule: string, detail: string): void {
    if (this.violations.length >= VIOLATIONS_MAX) return
    this.violations.push({ rule, at: this.#world.queue.now, detail })
  }

  /** A source sends to as many consumers at once as it has slots; what else they await of it is in line. */
  #checkSlots(supernode: SimSupernode, source: HostId): void {
    const { peerSlots, seedSlots, supernodeTurnSeconds } = this.#world.scenario
    const slots = source === SEED_HOST ? seedSlots : peerSlots
    if (!this.#isEven || slots === null) return
    // A jump of the clock may end the time of every slot. We see an assignment up to a turn after it has taken its slot.
    const expiredAt = Math.max(this.#world.queue.now - SLOT_MIN_MS / 1000, supernode.clock.jumpedAt)
    const since = expiredAt + supernodeTurnSeconds
    let consumers = 0
    for (const { open } of this.#ledgers.get(supernode)?.hosts.values() ?? []) {
      const isServed = [...open.values()].some(
        entry => entry.source === source && entry.isWhole && entry.at > since,
      )
      if (isServed) consumers++
    }
    if (consumers > slots) this.fail('slots exceeded', `${consumers} of ${slots} at host ${source}`)
  }

  #checkBytes(): void {
    const { peers, supernodes, origin, network } = this.#world
    if (network.flowCount > 0) return
    const processes = [...peers, ...supernodes]
    const sent = processes.reduce((sum, { desk }) => sum + desk.sentBytes, 0) + origin.totalSentBytes
    const got = processes.reduce((sum, { down }) => sum + down.carried, 0)
    if (Math.abs(sent - got) > BYTES_LOST) this.fail('bytes not conserved', `${sent} sent, ${got} received`)
    const kept = peers.reduce((sum, { received }) => sum + received.seed + received.peers, 0)
    const uploaded = processes.reduce((sum, { desk }) => sum + desk.sentBytes, 0)
    if (kept > uploaded + BYTES_LOST) this.fail('bytes not conserved', `${uploaded} uploaded, ${kept} kept`)
  }

  /** As long as nothing parts a peer from its supernode the CDN reads the origin once, and nobody else does. */
  #checkOrigin(): void {
    const { origin, scenario, supernodes } = this.#world
    for (const [reader, bytes] of origin.sentBytes) {
      const isCdn = supernodes.some(({ name }) => name === reader)
      if (bytes > (isCdn ? scenario.lengthBytes : 0))
        this.fail('origin quota exceeded', `${reader} read ${bytes}`)
    }
  }

  #ledgerOf(supernode: SimSupernode, host: HostId): Ledger {
    let ledgers = this.#ledgers.get(supernode)
    if (ledgers?.life !== supernode.life) {
      ledgers = { life: supernode.life, hosts: new Map() }
      this.#ledgers.set(supernode, ledgers)
    }
    let ledger = ledgers.hosts.get(host)
    if (!ledger) {
      ledger = { open: new Map(), crossed: new Set() }
      ledgers.hosts.set(host, ledger)
    }
    return ledger
  }
}

/** Whether a slot is a slot: all links are equal and near, and nothing slows them. */
function isEven(plan: Plan): boolean {
  const { up, down, supernodeUp, slowShare, zoneRate, latencySeconds, jitterSeconds } = scenarioOf(plan)
  const areLinksEqual = up === down && up === supernodeUp && slowShare === 0 && zoneRate >= up
  return areLinksEqual && latencySeconds + jitterSeconds < NEAR_SECONDS && plan.faults.length === 0
}
