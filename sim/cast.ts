import type { PeerPlan } from './peer.ts'

/** One peer of a world whose peers are given and not drawn from the scenario, such as those of a recording. Seconds of the world's clock. */
export type CastMember = {
  readonly plan: PeerPlan
  readonly arrivesAt: number
  /** Leaves then, whether it is done or not. */
  readonly leavesAt: number | null
  /** What is on its disk when it arrives. */
  readonly held: readonly number[]
}
