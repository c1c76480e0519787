import { pickIndex, type Random, seededRandom } from '../src/core/random.ts'
import { drawFaults, type Fault } from './faults.ts'
import { DEFAULT_SCENARIO, type Scenario } from './scenario.ts'

/** One trial: a world, what goes wrong in it, and when that is over. Plain data, so that it can be kept and run again. */
export type Plan = {
  /** What it is about, where it is kept. */
  readonly note?: string
  /** What differs from the default scenario. */
  readonly scenario: Partial<Scenario>
  readonly faults: readonly Fault[]
  /** Seconds; afterwards nothing goes wrong any more. */
  readonly healAt: number
}

const KIB = 1024

/** The trial that belongs to a seed: a small world with or without faults. */
export function drawPlan(seed: number): Plan {
  const random = seededRandom(Math.imul(seed, 0x9e3779b1) ^ 0x5eed)
  const scenario = drawScenario(seed, random)
  const healAt = 2 + Math.round(random.next() ** 2 * 60)
  if (random.next() < 0.12) return { scenario, faults: [], healAt: 0 }
  const faults = drawFaults(random, { ...DEFAULT_SCENARIO, ...scenario }, healAt)
  return { scenario, faults, healAt }
}

export function scenarioOf(plan: Plan): Scenario {
  return { ...DEFAULT_SCENARIO, ...plan.scenario }
}

function drawScenario(seed: number, random: Random): Partial<Scenario> {
  const oneOf = <T>(...choices: readonly T[]): T => choices[pickIndex(random, choices.length)]
  const pieces = 4 + pickIndex(random, 61)
  const pieceLength = KIB * oneOf(256, 512, 1024)
  const up = oneOf(1e6, 4e6, 12.5e6)
  return {
    seed,
    peers: 3 + pickIndex(random, 22),
    lengthBytes: pieces * pieceLength - pickIndex(random, pieceLength),
    pieceLength,
    up,
    down: up * oneOf(1, 1, 4),
    slowShare: oneOf(0, 0, 0.2),
    supernodes: oneOf(1, 1, 2, 3),
    supernodeUp: oneOf(2e6, 12.5e6),
    originRate: oneOf(1e6, 5e6, 20e6),
    hasLength: random.next() < 0.8,
    hasRanges: random.next() < 0.8,
    zones: oneOf(1, 1, 2, 3),
    zoneRate: oneOf(1e12, 4e6),
    arrival: oneOf('burst', 'poisson', 'wave'),
    arrivalSeconds: oneOf(1, 5, 20),
    leavesWhenComplete: random.next() < 0.2,
    isStreaming: random.next() < 0.2,
    latencySeconds: oneOf(0.0002, 0.005, 0.05),
    jitterSeconds: oneOf(0.0001, 0.01),
    supernodeTurnSeconds: oneOf(0, 0, 0.01),
    seedSlots: oneOf(null, 1, 4),
    isWarm: random.next() < 0.2,
  }
}
