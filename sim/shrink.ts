import { type Plan, scenarioOf } from './plan.ts'
import type { Scenario } from './scenario.ts'

/** Makes a failing plan smaller while it still fails for the same reason. */

/** What a reader of a plan would rather not have to think about, in the order of trying. */
const PLAIN: Partial<Scenario> = {
  supernodes: 1,
  zones: 1,
  zoneRate: 1e12,
  slowShare: 0,
  arrival: 'burst',
  isStreaming: false,
  leavesWhenComplete: false,
  hasLength: true,
  hasRanges: true,
  supernodeTurnSeconds: 0,
  isWarm: true,
}

const PIECES_MIN = 2

/** @param stillFails whether a plan fails for the reason in question; called at most `runsMax` times */
export function shrink(plan: Plan, stillFails: (smaller: Plan) => boolean, runsMax = 200): Plan {
  let best = plan
  let runs = 0
  for (let isBetter = true; isBetter && runs < runsMax; ) {
    isBetter = false
    for (const candidate of smallerThan(best)) {
      if (runs++ >= runsMax) break
      if (!stillFails(candidate)) continue
      best = candidate
      isBetter = true
      break
    }
  }
  return best
}

/** Smaller plans, the much smaller ones first. */
function* smallerThan(plan: Plan): Generator<Plan> {
  const { faults } = plan
  if (faults.length > 3) {
    const half = faults.length >> 1
    yield { ...plan, faults: faults.slice(0, half) }
    yield { ...plan, faults: faults.slice(half) }
  }
  for (let i = faults.length - 1; i >= 0; i--) yield { ...plan, faults: faults.toSpliced(i, 1) }
  const { peers, lengthBytes, pieceLength } = scenarioOf(plan)
  const needed = Math.max(1, ...faults.map(fault => ('peer' in fault ? fault.peer : 1)))
  for (const fewer of [needed, peers >> 1, peers - 1]) {
    if (fewer >= needed && fewer < peers) yield withScenario(plan, { peers: fewer })
  }
  const length = pieceLength ?? lengthBytes
  const pieces = Math.ceil(lengthBytes / length)
  for (const fewer of [PIECES_MIN, pieces >> 1, pieces - 1]) {
    if (fewer >= PIECES_MIN && fewer < pieces) yield withScenario(plan, { lengthBytes: fewer * length })
  }
  for (const [key, value] of Object.entries(PLAIN)) {
    if (scenarioOf(plan)[key as keyof Scenario] !== value) yield withScenario(plan, { [key]: value })
  }
}

function withScenario(plan: Plan, change: Partial<Scenario>): Plan {
  return { ...plan, scenario: { ...plan.scenario, ...change } }
}
