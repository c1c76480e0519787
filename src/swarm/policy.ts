import type { Random } from '../core/random.ts'
import type { FreeSources } from './free-sources.ts'
import type { HostId, Hosts } from './hosts.ts'
import type { Member } from './member.ts'
import type { PieceTable } from './piece-table.ts'

/** What a policy sees of the swarm. It changes nothing but may take busy sources off the lists of free ones. */
export type SwarmView = {
  readonly hosts: Hosts
  readonly seed: HostId
  readonly random: Random
  readonly pieces: PieceTable
  readonly memberCount: number
  memberOf(host: HostId): Member | undefined
  /** Every member that holds something. */
  readonly sources: readonly Member[]
  /** Zones with members in them, now or before. */
  readonly zones: readonly number[]
  membersIn(zone: number): number
  /** Pieces on their way into the zone. */
  importsInto(zone: number): number
  freeSources(zone: number): FreeSources
  hasFreeSlot(host: HostId): boolean
  /** Whether trust, lateness and the source's slots allow that the member asks it now. */
  mayAsk(member: Member, source: HostId, now: number): boolean
}

export type Choice = { readonly piece: number; readonly source: HostId }

/** Who shall fetch which piece from whom. */
export type Policy = {
  /** The next piece for a consumer that has room for one, and its source; null if there is none at present. */
  pick(view: SwarmView, member: Member, now: number): Choice | null
}
