import { pickIndex, type Random } from '../src/core/random.ts'
import type { SimPeer } from './peer.ts'
import type { Scenario } from './scenario.ts'
import type { World } from './world.ts'

/** What goes wrong, and when. Each fault is plain data, begins at `at` seconds and is over after `seconds`. Peers are counted from 1. */

export type Fault =
  /** The process dies; without `seconds` for good. */
  | { kind: 'crash'; at: number; peer: number; seconds: number | null; isPowerLost: boolean }
  | { kind: 'leave'; at: number; peer: number }
  | { kind: 'pause'; at: number; peer: number; seconds: number }
  /** The process believes that so much more time has passed. */
  | { kind: 'clock-jump'; at: number; peer: number; aheadSeconds: number }
  | { kind: 'cut-channel'; at: number; peer: number }
  | { kind: 'reset-uploads'; at: number; peer: number }
  /** What the host sends, receives, or both is lost. */
  | { kind: 'black-hole'; at: number; peer: number; seconds: number; way: 'in' | 'out' | 'both' }
  /** What one host sends to the other is lost. Peer 0 is the first supernode. */
  | { kind: 'partition'; at: number; from: number; to: number; seconds: number }
  | { kind: 'latency'; at: number; seconds: number; extraSeconds: number }
  | {
      kind: 'supernode-crash'
      at: number
      supernode: number
      seconds: number
      /** Otherwise another machine takes its place. */
      keepsDisk: boolean
      isSilent: boolean
    }
  | { kind: 'supernode-clock-jump'; at: number; supernode: number; aheadSeconds: number }
  | { kind: 'supernode-reset'; at: number; supernode: number }
  | { kind: 'supernode-disk'; at: number; supernode: number; seconds: number }
  | { kind: 'origin-failing'; at: number; seconds: number; rate: number }
  | { kind: 'origin-slow'; at: number; seconds: number; factor: number }
  | { kind: 'origin-change'; at: number }
  | { kind: 'corruption'; at: number; seconds: number; rate: number }
  /** Without `seconds` for as long as it lives. */
  | { kind: 'liar'; at: number; peer: number; seconds: number | null }
  | { kind: 'disk-full'; at: number; peer: number; seconds: number; room: number }
  | { kind: 'disk-broken'; at: number; peer: number; seconds: number }

export type FaultKind = Fault['kind']

type Place = { readonly at: number; readonly seconds: number; readonly peer: number; readonly random: Random }

/** How each kind is drawn. */
const DRAWS: {
  readonly [K in FaultKind]: (place: Place, scenario: Scenario) => Extract<Fault, { kind: K }>
} = {
  crash: ({ at, seconds, peer, random }) => {
    const isForGood = random.next() < 0.2
    return { kind: 'crash', at, peer, seconds: isForGood ? null : seconds, isPowerLost: random.next() < 0.5 }
  },
  leave: ({ at, peer }) => ({ kind: 'leave', at, peer }),
  pause: ({ at, seconds, peer }) => ({ kind: 'pause', at, peer, seconds }),
  'clock-jump': ({ at, peer, random }) => {
    return { kind: 'clock-jump', at, peer, aheadSeconds: drawJump(random) }
  },
  'cut-channel': ({ at, peer }) => ({ kind: 'cut-channel', at, peer }),
  'reset-uploads': ({ at, peer }) => ({ kind: 'reset-uploads', at, peer }),
  'black-hole': ({ at, seconds, peer, random }) => {
    const way = (['in', 'out', 'both'] as const)[pickIndex(random, 3)]
    return { kind: 'black-hole', at, peer, seconds, way }
  },
  partition: ({ at, seconds, peer, random }, { peers }) => {
    const other = pickIndex(random, peers + 1)
    const [from, to] = random.next() < 0.5 ? [peer, other] : [other, peer]
    return { kind: 'partition', at, from, to, seconds }
  },
  latency: ({ at, seconds, random }) => ({
    kind: 'latency',
    at,
    seconds,
    extraSeconds: rounded(random.next()),
  }),
  'supernode-crash': ({ at, seconds, random }, { supernodes }) => ({
    kind: 'supernode-crash',
    at,
    supernode: pickIndex(random, supernodes),
    seconds,
    keepsDisk: random.next() < 0.5,
    isSilent: random.next() < 0.5,
  }),
  'supernode-clock-jump': ({ at, random }, { supernodes }) => {
    const supernode = pickIndex(random, supernodes)
    return { kind: 'supernode-clock-jump', at, supernode, aheadSeconds: drawJump(random) }
  },
  'supernode-reset': ({ at, random }, { supernodes }) => {
    return { kind: 'supernode-reset', at, supernode: pickIndex(random, supernodes) }
  },
  'supernode-disk': ({ at, seconds, random }, { supernodes }) => {
    return { kind: 'supernode-disk', at, supernode: pickIndex(random, supernodes), seconds }
  },
  'origin-failing': ({ at, seconds, random }) => {
    return { kind: 'origin-failing', at, seconds, rate: random.next() < 0.5 ? 1 : rounded(random.next()) }
  },
  'origin-slow': ({ at, seconds, random }) => {
    return { kind: 'origin-slow', at, seconds, factor: rounded(random.next() * 0.1) }
  },
  'origin-change': ({ at }) => ({ kind: 'origin-change', at }),
  corruption: ({ at, seconds, random }) => {
    return { kind: 'corruption', at, seconds, rate: rounded(0.3 * random.next()) }
  },
  liar: ({ at, seconds, peer, random }) => {
    return { kind: 'liar', at, peer, seconds: random.next() < 0.5 ? null : seconds }
  },
  'disk-full': ({ at, seconds, peer, random }) => {
    return { kind: 'disk-full', at, peer, seconds, room: pickIndex(random, 8) }
  },
  'disk-broken': ({ at, seconds, peer }) => ({ kind: 'disk-broken', at, peer, seconds }),
}

export const FAULT_KINDS = Object.keys(DRAWS) as FaultKind[]

const FAULTS_MAX = 8

/** Draws faults of a random subset of kinds, all of them over by `healAt`. */
export function drawFaults(random: Random, scenario: Scenario, healAt: number): Fault[] {
  const kinds = FAULT_KINDS.filter(() => random.next() < 0.25)
  if (kinds.length === 0) kinds.push(FAULT_KINDS[pickIndex(random, FAULT_KINDS.length)])
  const faults: Fault[] = []
  const count = 1 + pickIndex(random, FAULTS_MAX)
  for (let i = 0; i < count; i++) {
    const kind = kinds[pickIndex(random, kinds.length)]
    const at = rounded(random.next() * healAt * 0.8)
    const seconds = rounded(random.next() ** 2 * (healAt - at))
    const peer = 1 + pickIndex(random, scenario.peers)
    faults.push(DRAWS[kind]({ at, seconds, peer, random }, scenario))
  }
  return faults.sort((a, b) => a.at - b.at)
}

/** Lets every fault happen in its time. Those about peers or supernodes that the world does not have are passed over. */
export function inject(world: World, faults: readonly Fault[]): void {
  for (const fault of faults) {
    world.queue.at(fault.at, () => {
      world.watch.onFault(fault)
      if ('peer' in fault) {
        const peer = world.peers[fault.peer - 1]
        if (peer) injectAtPeer(world, peer, fault)
      } else if ('supernode' in fault) injectAtSupernode(world, fault)
      else injectAround(world, fault)
    })
  }
}

function injectAtPeer(world: World, peer: SimPeer, fault: Extract<Fault, { peer: number }>): void {
  const later = (seconds: number, action: () => void) => world.queue.after(seconds, action)
  switch (fault.kind) {
    case 'crash': {
      const wasAlive = peer.isAlive
      world.kill(peer.name, fault.isPowerLost)
      if (fault.seconds === null) return peer.goForGood()
      if (wasAlive) later(fault.seconds, () => peer.restart())
      return
    }
    case 'leave':
      return peer.leave()
    case 'pause':
      return peer.pause(fault.seconds)
    case 'clock-jump':
      return peer.clock.jump(fault.aheadSeconds)
    case 'cut-channel':
      return peer.cutChannel()
    case 'reset-uploads':
      return peer.desk.reset()
    case 'black-hole':
      if (fault.way !== 'out') world.cut('*', peer.address, fault.seconds)
      if (fault.way !== 'in') world.cut(peer.address, '*', fault.seconds)
      return
    case 'liar':
      peer.isLiar = true
      if (fault.seconds !== null) later(fault.seconds, () => (peer.isLiar = false))
      return
    case 'disk-full':
      peer.disk.room = fault.room
      later(fault.seconds, () => (peer.disk.room = Number.POSITIVE_INFINITY))
      return
    case 'disk-broken':
      peer.disk.isBroken = true
      later(fault.seconds, () => (peer.disk.isBroken = false))
      return
  }
}

function injectAtSupernode(world: World, fault: Extract<Fault, { supernode: number }>): void {
  const supernode = world.supernodes[fault.supernode]
  if (!supernode) return
  switch (fault.kind) {
    case 'supernode-crash':
      world.kill(supernode.name, fault.isSilent)
      world.queue.after(fault.seconds, () => supernode.restart(fault.keepsDisk))
      return
    case 'supernode-clock-jump':
      return supernode.clock.jump(fault.aheadSeconds)
    case 'supernode-reset':
      return supernode.desk.reset()
    case 'supernode-disk':
      supernode.disk.isBroken = true
      world.queue.after(fault.seconds, () => (supernode.disk.isBroken = false))
      return
  }
}

type Around = Exclude<Fault, { peer: number } | { supernode: number }>

function injectAround(world: World, fault: Around): void {
  const { origin, queue, network } = world
  switch (fault.kind) {
    case 'partition':
      return world.cut(addressOf(fault.from), addressOf(fault.to), fault.seconds)
    case 'latency':
      world.extraLatency += fault.extraSeconds
      queue.after(fault.seconds, () => (world.extraLatency -= fault.extraSeconds))
      return
    case 'origin-failing':
      origin.failureRate = Math.max(origin.failureRate, fault.rate)
      queue.after(fault.seconds, () => (origin.failureRate = 0))
      return
    case 'origin-slow':
      network.resize(origin.link, origin.plan.rateBytesPerSecond * fault.factor)
      queue.after(fault.seconds, () => network.resize(origin.link, origin.plan.rateBytesPerSecond))
      return
    case 'origin-change':
      return origin.change()
    case 'corruption':
      world.corruptionRate = Math.max(world.corruptionRate, fault.rate)
      queue.after(fault.seconds, () => (world.corruptionRate = 0))
      return
  }
}

function addressOf(peer: number): string {
  return peer === 0 ? 'supernode0' : `p${peer}`
}

/** From 5 s to 10 min; each of the waits in between, short or long, may be the one that is jumped over. */
function drawJump(random: Random): number {
  return rounded(5 * 120 ** random.next())
}

/** To the millisecond, so that a fault is short to read. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}
