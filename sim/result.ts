import { type BestTime, bestTime, pieceTimes } from './best-time.ts'
import type { CastMember } from './cast.ts'
import type { SimPeer } from './peer.ts'
import { bytesPeersGotFromOrigin, type Sample, Sampler } from './sampler.ts'
import type { Scenario } from './scenario.ts'
import { World } from './world.ts'

/** What came of a simulation. Plain values that follow from scenario and seed alone. */
export type SimResult = {
  readonly policy: string
  readonly seed: number
  readonly peers: number
  readonly pieces: number
  readonly lengthBytes: number
  readonly pieceLength: number
  readonly finished: number
  /** Left or were lost before they were done. */
  readonly gone: number
  /** Failed, or were still not done when nothing happened any more. */
  readonly failed: number
  readonly failures: Readonly<Record<string, number>>
  readonly bound: BestTime['name']
  readonly boundReason: string
  readonly boundSeconds: number
  /** Slowest finisher ÷ bound; with arrivals over time the largest of each peer's own time ÷ own bound. Null if nobody finished. */
  readonly factor: number | null
  readonly lastSeconds: number | null
  readonly p50Seconds: number | null
  readonly p95Seconds: number | null
  /** Peers with the fastest links: median time ÷ the bound that they would have among themselves. */
  readonly fastP50Factor: number | null
  /** Bytes read from the origin, by supernodes and peers, ÷ length of the file. */
  readonly originFactor: number
  /** Transfers that cross a zone's border ÷ the one for each piece and zone that there must be. Supernodes are outside of all zones. */
  readonly crossZoneFactor: number
  readonly controlMessagesPerPiece: number
  readonly controlBytesPerPiece: number
  /** Share of the file that a reader could read from the beginning: mean over the time of each download, and over peers. */
  readonly meanReadablePrefix: number
  readonly bytes: { readonly peers: number; readonly seed: number; readonly origin: number }
  readonly simulatedSeconds: number
  /** Of all events: two runs with the same one went the same way. */
  readonly eventDigest: string
}

export type Simulated = { readonly result: SimResult; readonly samples: readonly Sample[] }

const SAMPLES_PER_BOUND = 120

/** @param prepare may change the world before it runs, such as by planning faults */
export function simulate(
  scenario: Scenario,
  cast: readonly CastMember[] | null = null,
  prepare: (world: World) => void = () => {},
): Simulated {
  const world = new World(scenario, cast)
  const best = bestTime(world)
  const sampler = new Sampler(world, best.seconds / SAMPLES_PER_BOUND)
  prepare(world)
  world.run()
  return { result: resultOf(world, best), samples: sampler.take() }
}

function resultOf(world: World, best: BestTime): SimResult {
  const { scenario, watch, peers, pieceCount: pieces } = world
  const done = peers.filter(peer => peer.finishedAt !== null)
  const times = done.map(peer => secondsOf(peer, best)).sort((a, b) => a - b)
  const factors = done.map(peer => secondsOf(peer, best) / best.secondsFor(peer.plan))
  const gone = peers.filter(peer => !peer.isDone && !peer.isAlive).length
  const deliveries = Math.max(1, done.length * pieces)
  const zones = new Set(peers.map(peer => peer.plan.zone)).size
  return {
    policy: scenario.policy,
    seed: scenario.seed,
    peers: peers.length,
    pieces,
    lengthBytes: scenario.lengthBytes,
    pieceLength: world.origin.layout.pieceLength,
    finished: done.length,
    gone,
    failed: peers.length - done.length - gone,
    failures: Object.fromEntries([...watch.failures].sort()),
    bound: best.name,
    boundReason: best.reason,
    boundSeconds: round(best.seconds),
    factor: factors.length > 0 ? round(factors.reduce((a, b) => Math.max(a, b))) : null,
    lastSeconds: quantile(times, 1),
    p50Seconds: quantile(times, 0.5),
    p95Seconds: quantile(times, 0.95),
    fastP50Factor: fastFactor(world, done, best),
    originFactor: round(world.origin.totalSentBytes / scenario.lengthBytes),
    crossZoneFactor: round(watch.crossings / (zones * pieces)),
    controlMessagesPerPiece: round(watch.messages / deliveries),
    controlBytesPerPiece: round(watch.messageBytes / deliveries),
    meanReadablePrefix: round(
      peers.reduce((sum, peer) => sum + readableShare(peer, world.queue.now), 0) / peers.length,
    ),
    bytes: {
      peers: peers.reduce((sum, peer) => sum + peer.received.peers, 0),
      seed: peers.reduce((sum, peer) => sum + peer.received.seed, 0),
      origin: bytesPeersGotFromOrigin(world),
    },
    simulatedSeconds: round(world.queue.now),
    eventDigest: watch.digest,
  }
}

function secondsOf(peer: SimPeer, best: BestTime): number {
  return peer.finishedAt! - (best.isPerPeer ? peer.startedAt : 0)
}

function fastFactor(world: World, done: readonly SimPeer[], best: BestTime): number | null {
  const fastest = world.peers.reduce((most, { plan }) => Math.max(most, plan.down), 0)
  const fast = done.filter(({ plan }) => plan.down === fastest)
  if (fast.length === 0) return null
  const among = world.peers.filter(({ plan }) => plan.down === fastest).length
  const own = best.isPerPeer ? best.secondsFor(fast[0].plan) : pieceTimes(world, fastest, among).seconds
  const times = fast.map(peer => secondsOf(peer, best)).sort((a, b) => a - b)
  return round(quantile(times, 0.5)! / own)
}

function readableShare(peer: SimPeer, now: number): number {
  return peer.readablePrefix.area / Math.max(1e-9, (peer.finishedAt ?? now) - peer.startedAt)
}

/** Of ascending values: the smallest that `share` of them do not exceed. */
function quantile(sorted: readonly number[], share: number): number | null {
  if (sorted.length === 0) return null
  return round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)])
}

/** Four decimals, so that a printed figure is short and the same everywhere. */
function round(value: number): number {
  return Math.round(value * 1e4) / 1e4
}
