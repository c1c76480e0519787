/** What is simulated. Rates are bytes per second, times seconds. */

export type Scenario = {
  readonly seed: number
  readonly peers: number
  readonly lengthBytes: number
  /** Null lets the product choose. */
  readonly pieceLength: number | null
  readonly up: number
  readonly down: number
  /** Share of peers whose links have a tenth of the rate. */
  readonly slowShare: number
  readonly supernodes: number
  readonly supernodeUp: number
  readonly originRate: number
  readonly hasLength: boolean
  readonly hasRanges: boolean
  readonly zones: number
  /** Of each zone's line to the others, both ways; infinite is no limit. */
  readonly zoneRate: number
  readonly arrival: 'burst' | 'poisson' | 'wave'
  /** Over which peers arrive, with poisson and wave. */
  readonly arrivalSeconds: number
  readonly leavesWhenComplete: boolean
  /** Consumers read while they download. */
  readonly isStreaming: boolean
  readonly latencySeconds: number
  readonly jitterSeconds: number
  readonly policy: string
  /** Pieces per consumer on their way at once. */
  readonly window: number
  /** Assignments that a peer as a source may have at once, and how many of those it sends at the same time. */
  readonly peerSlots: number
  readonly peerActive: number
  /** Null lets them follow from how fast pieces come from the seed. */
  readonly seedSlots: number | null
  readonly seedActive: number
  /** How long the supernode collects before it answers. */
  readonly supernodeTurnSeconds: number
  /** After which the supernode notices that a machine is gone. */
  readonly lossSeconds: number
  /** The CDN holds everything at the beginning. */
  readonly isWarm: boolean
  readonly limitSeconds: number
}

const MIB = 1024 ** 2

export const DEFAULT_SCENARIO: Scenario = {
  seed: 1,
  peers: 255,
  lengthBytes: 64 * MIB,
  pieceLength: null,
  up: 12.5e6,
  down: 12.5e6,
  slowShare: 0,
  supernodes: 1,
  supernodeUp: 12.5e6,
  originRate: Number.POSITIVE_INFINITY,
  hasLength: true,
  hasRanges: true,
  zones: 1,
  zoneRate: Number.POSITIVE_INFINITY,
  arrival: 'burst',
  arrivalSeconds: 0,
  leavesWhenComplete: false,
  isStreaming: false,
  latencySeconds: 0.0001,
  jitterSeconds: 0.00005,
  policy: 'rarest-first',
  window: 1,
  peerSlots: 1,
  peerActive: 4,
  seedSlots: null,
  seedActive: 256,
  supernodeTurnSeconds: 0,
  lossSeconds: 10,
  isWarm: true,
  limitSeconds: 36_000,
}

/** The default scenario with changes; what follows from a changed value follows, unless it is given too. */
export function scenarioWith(changes: Partial<Scenario>): Scenario {
  const { up } = { ...DEFAULT_SCENARIO, ...changes }
  const supernodeUp = changes.supernodeUp ?? up
  return { ...DEFAULT_SCENARIO, ...changes, supernodeUp }
}
