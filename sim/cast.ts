import type { PeerPlan } from './peer.ts'
import { DEFAULT_SCENARIO, type Scenario } from './scenario.ts'

/** One peer of a world whose peers are given and not drawn from the scenario, such as those of a recording. Seconds of the world's clock. */
export type CastMember = {
  readonly plan: PeerPlan
  readonly arrivesAt: number
  /** Leaves then, whether it is done or not. */
  readonly leavesAt: number | null
  /** What is on its disk when it arrives. */
  readonly held: readonly number[]
}

/**
 * Slots of a seed: as many as it has in the default scenario, whose links are equal, for each peer that it could send to at the peer's
 * full rate.
 */
export function seedSlotsFor(supernodeUp: number, down: number): number {
  return DEFAULT_SCENARIO.seedSlots * Math.max(1, Math.ceil(supernodeUp / down))
}

/** The default scenario with changes; what follows from a changed value follows, unless it is given too. */
export function scenarioWith(changes: Partial<Scenario>): Scenario {
  const { up, down } = { ...DEFAULT_SCENARIO, ...changes }
  const supernodeUp = changes.supernodeUp ?? up
  const seedSlots = changes.seedSlots ?? seedSlotsFor(supernodeUp, down)
  const seedActive = changes.seedActive ?? Math.max(DEFAULT_SCENARIO.seedActive, seedSlots)
  return { ...DEFAULT_SCENARIO, ...changes, supernodeUp, seedSlots, seedActive }
}
