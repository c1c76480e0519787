import type { Log } from '../ops/log.ts'
import type { HostPlace } from '../wire/manager-api.ts'
import type { ArmoryEntries } from './armory-entries.ts'
import type { OpenArmory } from './armory-source.ts'
import type { DatabaseKind } from './database.ts'
import type { Membership } from './membership.ts'
import type { RefusalLimit } from './refusal-limit.ts'
import type { Supernodes } from './supernodes.ts'
import type { Tokens } from './tokens.ts'

export type ClusterPolicy = {
  /** What a zone is: across its boundary a piece travels once. */
  readonly zoneBoundary: 'idc' | 'security-domain'
  /** The zone that the others fill from instead of from the origin; null is none. */
  readonly rootZone: string | null
  /** Whether clients may be sent over the wall around a security domain. */
  readonly isWallOpen: boolean
  /** For how long a supernode is taken to be there after it said so. */
  readonly leaseMs: number
}

/** So that two renewals in a row may fail before a lease runs out. */
export const RENEWALS_PER_LEASE = 3

/** What the routes stand on. */
export type ManagerContext = {
  readonly policy: ClusterPolicy
  readonly database: DatabaseKind
  readonly tokens: Tokens
  readonly supernodes: Supernodes
  readonly armoryEntries: ArmoryEntries
  readonly membership: Membership
  readonly armory: OpenArmory
  readonly refusals: RefusalLimit
  readonly clusterSecret: string
  readonly locates: { known: number; unknown: number }
  readonly log: Log
}

export function zoneOf(place: HostPlace, { zoneBoundary }: ClusterPolicy): string | null {
  return zoneBoundary === 'idc' ? place.idc : place.securityDomain
}
