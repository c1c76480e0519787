import { pieceBoundSeconds } from '../src/core/bound.ts'
import type { PeerPlan } from './peer.ts'
import type { World } from './world.ts'

/** How fast the simulated distribution can be at best, and which of several limits says so. */

export type BestTime = {
  readonly name:
    | 'pieces'
    | 'seed upload'
    | 'slowest download'
    | 'total upload'
    | 'zone link'
    | 'origin'
    | 'own links'
  /** Why this one, in a sentence. */
  readonly reason: string
  readonly seconds: number
  /** Times count from each peer's own arrival; otherwise from the beginning. */
  readonly isPerPeer: boolean
  /** The least that this peer needs. */
  secondsFor(plan: PeerPlan): number
}

/**
 * The choice, in this order:
 *
 * * Peers that arrive over time are each measured from their own arrival, against what their own links need for the file: download, and
 *   the zone's link. Who comes late finds sources, so that the swarm's bounds do not apply to it; who comes first may be held up by the
 *   seed's upload, which this bound does not know and therefore is too kind to physics.
 * * Equal links, and one seed of the same rate: (k + ⌊log2 N⌋) piece times, which is exact for peers that forward whole pieces.
 * * Everything else: the largest of the fluid limits F/u_s, F/d_min and N·F/(u_s + Σu_i), of F over the zone's link, because all that
 *   a zone gets crosses that once, and of F over the origin's rate where the supernode begins with an empty cache. Forwarding whole pieces
 *   costs a little more than a fluid does, so that a factor of 1 cannot quite be reached.
 */
export function bestTime(world: World): BestTime {
  const { scenario } = world
  if (world.hasCast || scenario.arrival !== 'burst') return ownLinks(world)
  const plans = world.peers.map(peer => peer.plan)
  const { supernodes, supernodeUp, zoneRate } = scenario
  const rate = plans[0].down
  const isEqual =
    supernodes === 1 && supernodeUp === rate && plans.every(({ up, down }) => up === rate && down === rate)
  const hasOtherLimits = zoneRate < Number.POSITIVE_INFINITY || !scenario.isWarm
  return isEqual && !hasOtherLimits ? pieceTimes(world, rate) : fluid(world, plans)
}

/** Of peers with these links among themselves, were they alone with the seed. */
export function pieceTimes(world: World, rate: number, peers = world.peers.length): BestTime {
  const pieces = world.pieceCount
  const { pieceLength } = world.origin.layout
  const seconds = pieceBoundSeconds({ peers, pieces, pieceLength, rateBytesPerSecond: rate })
  return {
    name: 'pieces',
    reason: `(k + ⌊log2 N⌋) piece times: ${pieces} + ${Math.floor(Math.log2(peers))} pieces at equal rates`,
    seconds,
    isPerPeer: false,
    secondsFor: () => seconds,
  }
}

function ownLinks(world: World): BestTime {
  const { zoneRate, lengthBytes } = world.scenario
  const secondsFor = (plan: PeerPlan) => lengthBytes / Math.min(plan.down, zoneRate)
  return {
    name: 'own links',
    reason: "what each peer's own links need for the file, counted from its arrival",
    seconds: world.peers.reduce((most, { plan }) => Math.max(most, secondsFor(plan)), 0),
    isPerPeer: true,
    secondsFor,
  }
}

function fluid(world: World, plans: readonly PeerPlan[]): BestTime {
  const { lengthBytes, supernodes, supernodeUp, zoneRate, isWarm, originRate } = world.scenario
  const seedUpload = supernodes * supernodeUp
  const totalUpload = plans.reduce((sum, plan) => sum + plan.up, seedUpload)
  const slowest = plans.reduce((slow, plan) => Math.min(slow, plan.down), Number.POSITIVE_INFINITY)
  const limits: [BestTime['name'], seconds: number, reason: string][] = [
    ['seed upload', lengthBytes / seedUpload, 'F / u_s: the seed must send everything once'],
    ['slowest download', lengthBytes / slowest, 'F / d_min: the slowest peer must receive everything'],
    [
      'total upload',
      (plans.length * lengthBytes) / totalUpload,
      'N·F / (u_s + Σu_i): all must send it N times',
    ],
    ['zone link', lengthBytes / zoneRate, 'F / zone rate: everything must enter the zone once'],
    ['origin', isWarm ? 0 : lengthBytes / originRate, 'F / origin: everything must be read once'],
  ]
  const [name, seconds, reason] = limits.reduce((most, limit) => (limit[1] > most[1] ? limit : most))
  return { name, reason, seconds, isPerPeer: false, secondsFor: () => seconds }
}
