import type { ErrorCode } from '../src/core/error.ts'
import { SEED_HOST } from '../src/supernode/session.ts'
import type { HostId } from '../src/swarm/hosts.ts'
import type { Assignment, ConsumerReport } from '../src/swarm/task-swarm.ts'
import { DEFAULT_LIMITS } from '../src/transfer/download-options.ts'
import type { FaultKind } from './faults.ts'
import { generationIn, pieceValue } from './origin.ts'
import type { SimPeer } from './peer.ts'
import { type Plan, scenarioOf } from './plan.ts'
import { isTrue } from './run.ts'
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

/** Pieces that a consumer without company may have on its way, and how often each may be doubled. */
const LONE_WINDOW = 8
const DOUBLED = 2
/** Pieces that may wait in line at a source where round trips count, or some links are faster than others so that slots are shared. */
const LINE_MAX = 8
const NEAR_SECONDS = 0.0005
const CROWD = 8
/** After which a piece has its slot no more, and a turn less. */
const SLOT_SECONDS = 14.9
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

type Ledger = Map<string, { source: HostId; at: number; isWhole: boolean }>

export class Checkers implements Onlooker {
  readonly violations: Violation[] = []
  readonly #world: World
  readonly #plan: Plan
  readonly #ledgers = new Map<SimSupernode, { life: number; hosts: Map<HostId, Ledger> }>()
  readonly #isHarmless: boolean
  readonly #lineMax: number

  constructor(world: World, plan: Plan) {
    this.#world = world
    this.#plan = plan
    this.#lineMax = isEven(plan) ? 0 : LINE_MAX
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
    const ledger = this.#ledgerOf(supernode, consumer)
    for (const { piece, source } of assignments) {
      const key = `${piece}/${source}`
      if (ledger.has(key)) this.#fail('assigned twice', `piece ${key} to ${consumer} at ${supernode.name}`)
      const isWhole = supernode.hosts.sharesOf(source, consumer).atSource === 1
      ledger.set(key, { source, at: this.#world.queue.now, isWhole })
    }
    const most = DOUBLED * (Math.max(this.#world.scenario.window, LONE_WINDOW) + this.#lineMax)
    const count = [...ledger.values()].filter(({ isWhole }) => isWhole).length
    if (count > most) this.#fail('window exceeded', `${count} of ${most} at host ${consumer}`)
    for (const source of new Set(assignments.map(assignment => assignment.source)))
      this.#checkSlots(supernode, source)
  }

  onReport(supernode: SimSupernode, host: HostId, report: ConsumerReport): void {
    const ledger = this.#ledgerOf(supernode, host)
    for (const { piece, source } of [...report.done, ...report.failed, ...report.released]) {
      const wasThere = ledger.delete(`${piece}/${source}`)
      if (!wasThere && this.#plan.faults.length === 0) {
        this.#fail('ended twice', `piece ${piece} from ${source} at host ${host}`)
      }
    }
  }

  onJoined(supernode: SimSupernode, host: HostId): void {
    this.#ledgerOf(supernode, host).clear()
  }

  onLeft(supernode: SimSupernode, host: HostId): void {
    this.#ledgerOf(supernode, host).clear()
  }

  onUpload(source: string, active: number): void {
    const { peerActive, seedActive } = this.#world.scenario
    const most = source.startsWith('supernode') ? seedActive : peerActive
    if (active > most) this.#fail('upload quota exceeded', `${source} sends ${active} of ${most}`)
  }

  onReceived(peer: SimPeer, piece: number, value: number): void {
    const version = peer.run?.machine.content.version
    if (!version) return
    const wanted = pieceValue(generationIn(version), piece)
    const wrong = (wanted ^ WRONG) >>> 0
    if (value !== wanted && value !== wrong) {
      this.#fail('token of another generation accepted', `piece ${piece} at ${peer.address}`)
    }
  }

  onFinished(peer: SimPeer): void {
    const { version } = peer.disk
    const { machine } = peer.run!
    if (!version || peer.disk.journal.count !== this.#world.pieceCount) {
      return this.#fail('complete without every piece', `${peer.address}: ${peer.disk.journal.count}`)
    }
    if (!isTrue(peer.disk, generationIn(version))) this.#fail('wrong file', peer.address)
    const { origin, supernode, peers, local } = machine.bytes
    const sum = origin + supernode + peers + local
    if (sum !== this.#world.scenario.lengthBytes) {
      this.#fail('bytes not accounted for', `${peer.address}: ${JSON.stringify(machine.bytes)}`)
    }
  }

  onFailed(peer: SimPeer, code: ErrorCode): void {
    const kinds = new Set(this.#plan.faults.map(fault => fault.kind))
    const isJustified = BLAME.some(row => row.codes.test(code) && row.kinds.some(kind => kinds.has(kind)))
    if (!isJustified) this.#fail(`unjustified ${code}`, peer.address)
  }

  /** To be called now and then. */
  look(): void {
    for (const process of [...this.#world.peers, ...this.#world.supernodes]) {
      const { version } = process.disk
      if (version && process.isAlive && !isTrue(process.disk, generationIn(version))) {
        this.#fail('wrong piece in a journal', process.name)
      }
    }
  }

  /** When everybody is done and still there. */
  lookAtEnd(): void {
    this.look()
    for (const [supernode, { life, hosts }] of this.#ledgers) {
      if (!supernode.isAlive || life !== supernode.life) continue
      for (const [host, ledger] of hosts) {
        if (ledger.size > 0) this.#fail('assignment without end', `host ${host}: ${[...ledger.keys()]}`)
      }
    }
    this.#checkBytes()
    if (this.#isHarmless) this.#checkOrigin()
  }

  /** When everybody has left. */
  lookAfter(): void {
    for (const supernode of this.#world.supernodes) {
      const { memberCount, hosts, name } = supernode
      if (memberCount > 0) this.#fail('members left over', `${memberCount} at ${name}`)
      const used = hosts.utilisation(SEED_HOST)
      if (used > 0) this.#fail('slots left over', `${used} of the seed at ${name}`)
    }
  }

  /** The downloads have not ended in time. */
  onLate(): void {
    const late = this.#world.peers.filter(peer => peer.isAlive && !peer.run?.machine.isOver)
    const states = late.map(({ address, run }) => `${address} ${run?.machine.phase}`)
    this.#fail('download without end', states.join(', '))
  }

  fail(rule: string, detail: string): void {
    this.#fail(rule, detail)
  }

  #checkSlots(supernode: SimSupernode, source: HostId): void {
    const { peerSlots, seedSlots } = this.#world.scenario
    const slots = (source === SEED_HOST ? seedSlots : peerSlots) + this.#lineMax
    const since = this.#world.queue.now - SLOT_SECONDS
    let count = 0
    for (const ledger of this.#ledgers.get(supernode)?.hosts.values() ?? []) {
      for (const entry of ledger.values()) {
        if (entry.source === source && entry.isWhole && entry.at > since) count++
      }
    }
    if (count > slots) this.#fail('slots exceeded', `${count} of ${slots} at host ${source}`)
  }

  #checkBytes(): void {
    const { peers, supernodes, origin, network } = this.#world
    if (network.flowCount > 0) return
    const processes = [...peers, ...supernodes]
    const sent = processes.reduce((sum, { desk }) => sum + desk.sentBytes, 0) + origin.totalSentBytes
    const got = processes.reduce((sum, { down }) => sum + down.carried, 0)
    if (Math.abs(sent - got) > BYTES_LOST) this.#fail('bytes not conserved', `${sent} sent, ${got} received`)
    const kept = peers.reduce((sum, { received }) => sum + received.seed + received.peers, 0)
    const uploaded = processes.reduce((sum, { desk }) => sum + desk.sentBytes, 0)
    if (kept > uploaded + BYTES_LOST) this.#fail('bytes not conserved', `${uploaded} uploaded, ${kept} kept`)
  }

  /** As long as nothing parts a peer from its supernode the CDN reads the origin once, and nobody else does. */
  #checkOrigin(): void {
    const { origin, scenario, supernodes } = this.#world
    for (const [reader, bytes] of origin.sentBytes) {
      const isCdn = supernodes.some(({ name }) => name === reader)
      if (bytes > (isCdn ? scenario.lengthBytes : 0))
        this.#fail('origin quota exceeded', `${reader} read ${bytes}`)
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
      ledger = new Map()
      ledgers.hosts.set(host, ledger)
    }
    return ledger
  }

  #fail(rule: string, detail: string): void {
    if (this.violations.length >= VIOLATIONS_MAX) return
    this.violations.push({ rule, at: this.#world.queue.now, detail })
  }
}

/** Whether a slot is a slot: all links are equal and near, and nothing slows them. */
function isEven(plan: Plan): boolean {
  const { latencySeconds, jitterSeconds, up, down, supernodeUp, slowShare, zoneRate } = scenarioOf(plan)
  // In a small swarm a line costs so little that there is always one.
  const isNear = latencySeconds + jitterSeconds < NEAR_SECONDS && scenarioOf(plan).peers >= CROWD
  return (
    isNear &&
    up === down &&
    up === supernodeUp &&
    slowShare === 0 &&
    zoneRate >= up &&
    plan.faults.length === 0
  )
}

/** What a damaged piece differs by. */
const WRONG = 0x55555555
