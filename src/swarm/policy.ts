import type { Random } from '../core/random.ts'
import type { HostId, Hosts } from './hosts.ts'
import type { Member } from './member.ts'
import type { PieceTable } from './piece-table.ts'
import type { Quota } from './quota.ts'
import type { SourceIndex } from './source-index.ts'

/** What a policy sees of the swarm. It changes nothing but may take busy sources off the lists of free ones. */
export type SwarmView = {
  readonly hosts: Hosts
  readonly seed: HostId
  readonly random: Random
  readonly pieces: PieceTable
  memberOf(host: HostId): Member | undefined
  readonly sources: SourceIndex
  readonly quota: Quota
}

export type Choice = { readonly piece: number; readonly source: HostId }

/** Who shall fetch which piece from whom. */
export type Policy = {
  /** The next piece for a consumer that has room for one, and its source; null if there is none at present. */
  pick(view: SwarmView, member: Member, now: number): Choice | null
  /** A piece that nobody has or awaits, from the seed. Without it the seed's slots go to whoever waits longest. */
  pickFresh?(view: SwarmView, member: Member, now: number): Choice | null
  /** A piece in line behind those that are on their way to a consumer from the same source. Without it there are no lines. */
  pickNext?(view: SwarmView, member: Member, now: number): Choice | null
}
