import { SEED_HOST } from '../src/supernode/session.ts'
import type { CastMember } from './cast.ts'
import type { RecordedHost, RecordedSwarm, Transfer } from './recording.ts'
import { type Simulated, simulate } from './result.ts'
import { type Scenario, scenarioWith } from './scenario.ts'

/** Runs a recorded swarm again, with the same hosts at the same times, as far as the recording shows what they can do. */

type Recorded = {
  readonly taskId: string
  readonly peers: number
  readonly pieces: number
  readonly lengthBytes: number
  readonly finished: number
  readonly lastSeconds: number | null
  readonly p50Seconds: number | null
}

type Replay = {
  readonly recorded: Recorded
  readonly scenario: Scenario
  run(policy: string): Simulated
}

/** Share of its busy time in which a host is taken to have been slower than it can be. */
const BUSY_QUANTILE = 0.9
const RATE_MIN = 1_000
const RATE_MAX = 125e9
/** The seed that holds everything so soon had it before. */
const WARM_MS = 50

export function planReplay(swarm: RecordedSwarm, changes: Partial<Scenario>): Replay {
  const hosts = [...swarm.hosts].sort(([, a], [, b]) => a.joinedAt - b.joinedAt)
  const beganAt = hosts[0][1].joinedAt
  const rates = ratesOf(swarm)
  const zones = [...new Set(hosts.map(([, { zone }]) => zone))]
  const cast = hosts.map(([id, host]) =>
    castMember(host, { beganAt, zone: zones.indexOf(host.zone), ...rates.of(id) }),
  )
  const lengthBytes = swarm.lengthBytes!
  const scenario = scenarioWith({
    peers: cast.length,
    lengthBytes,
    pieceLength: swarm.pieceLength,
    hasLength: swarm.hasLength,
    up: median(cast.map(({ plan }) => plan.up)),
    down: median(cast.map(({ plan }) => plan.down)),
    supernodeUp: rates.seedUp,
    seedSlots: swarm.seedSlots && Math.max(1, swarm.seedSlots),
    window: Math.max(1, swarm.window),
    peerSlots: median(hosts.map(([, { slots }]) => slots)),
    zones: zones.length,
    isStreaming: 2 * hosts.filter(([, host]) => host.isStreaming).length > hosts.length,
    ...fillOf(swarm, beganAt),
    ...changes,
  })
  return {
    recorded: summarize(
      swarm,
      hosts.map(([, host]) => host),
    ),
    scenario,
    run: policy => simulate({ ...scenario, policy }, cast),
  }
}

function summarize(swarm: RecordedSwarm, hosts: readonly RecordedHost[]): Recorded {
  const lengthBytes = swarm.lengthBytes!
  const times = hosts
    .filter(host => host.doneAt !== null)
    .map(host => Math.round(host.doneAt! - host.joinedAt) / 1000)
    .sort((a, b) => a - b)
  return {
    taskId: swarm.taskId,
    peers: hosts.length,
    pieces: Math.ceil(lengthBytes / swarm.pieceLength),
    lengthBytes,
    finished: times.length,
    lastSeconds: times.at(-1) ?? null,
    p50Seconds: times[Math.max(0, Math.ceil(times.length / 2) - 1)] ?? null,
  }
}

function castMember(
  host: RecordedHost,
  seen: { beganAt: number; zone: number; up: number; down: number },
): CastMember {
  const { joinedAt, leftAt, doneAt, heldAtFirst, isSeedOnly } = host
  const staysSeconds = leftAt !== null && doneAt !== null ? Math.max(0, leftAt - doneAt) / 1000 : undefined
  return {
    plan: { up: seen.up, down: seen.down, zone: seen.zone, supernode: 0, staysSeconds, isSeedOnly },
    arrivesAt: (joinedAt - seen.beganAt) / 1000,
    leavesAt: leftAt !== null && doneAt === null ? (leftAt - seen.beganAt) / 1000 : null,
    held: heldAtFirst,
  }
}

/** Whether the supernode had the content, and else how fast it read the origin. */
function fillOf({ offers, pieceLength }: RecordedSwarm, beganAt: number): Partial<Scenario> {
  const late = offers.filter(({ at }) => at > beganAt + WARM_MS)
  if (late.length === 0) return { isWarm: true }
  const bytes = pieceLength * late.reduce((sum, { pieces }) => sum + pieces, 0)
  return { isWarm: false, originRate: clamp(bytes / ((late.at(-1)!.at - beganAt) / 1000)) }
}

/**
 * What a host can send and receive is taken to be what it did in the tenth of its busy time in which it did most. That is too little for
 * a host that was never asked for more; one that never sent is taken to be like the median of the others.
 */
function ratesOf({ transfers, pieceLength }: RecordedSwarm) {
  const downs = busyRates(
    Map.groupBy(transfers, transfer => transfer.consumer),
    pieceLength,
  )
  const ups = busyRates(
    Map.groupBy(transfers, transfer => transfer.source),
    pieceLength,
  )
  const seedUp = ups.get(SEED_HOST)
  ups.delete(SEED_HOST)
  const down = median([...downs.values()])
  const up = ups.size > 0 ? median([...ups.values()]) : down
  return {
    seedUp: seedUp ?? up,
    of: (host: number) => ({ up: ups.get(host) ?? up, down: downs.get(host) ?? down }),
  }
}

function busyRates(byHost: Map<number, Transfer[]>, pieceLength: number): Map<number, number> {
  return new Map([...byHost].map(([host, transfers]) => [host, busyRate(transfers, pieceLength)]))
}

/** Bytes per second, by time: the rate that all transfers together exceed in a tenth of the time in which there are any. */
export function busyRate(transfers: readonly Transfer[], pieceLength: number): number {
  const changes = transfers
    .flatMap(({ from, to }) => {
      const rate = pieceLength / ((to - from) / 1000)
      return [
        { at: from, by: rate },
        { at: to, by: -rate },
      ]
    })
    .sort((a, b) => a.at - b.at)
  const spans: { rate: number; ms: number }[] = []
  let rate = 0
  changes.forEach(({ at, by }, i) => {
    rate += by
    const ms = (changes[i + 1]?.at ?? at) - at
    if (ms > 0 && rate > 1) spans.push({ rate, ms })
  })
  spans.sort((a, b) => a.rate - b.rate)
  let left = BUSY_QUANTILE * spans.reduce((sum, { ms }) => sum + ms, 0)
  for (const span of spans) {
    left -= span.ms
    if (left <= 0) return clamp(span.rate)
  }
  return RATE_MIN
}

function clamp(rate: number): number {
  return Math.min(RATE_MAX, Math.max(RATE_MIN, rate))
}

/** The upper one of two. Of nothing: the least rate. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? RATE_MIN
}
