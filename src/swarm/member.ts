import { Bitmap } from '../core/bitmap.ts'
import { SmallSet } from '../core/small-set.ts'
import type { HostId, Shares } from './hosts.ts'
import type { Place } from './hungry-queue.ts'
import type { Troubles } from './troubles.ts'

/** An assignment that has not ended. */
export type Outstanding = {
  readonly piece: number
  readonly source: HostId
  readonly shares: Shares
  /** The zone that it comes from; null for the seed, which is in none. */
  readonly fromZone: number | null
  /** By what is known of the links; 0 is unknown. */
  readonly expectedMs: number
  isLate: boolean
  /** How long it occupies a slot of the source at most; infinite once it does not any more. */
  slotUntil: number
}

/** One host in one task's swarm, as consumer and as source. */
export type Member = {
  readonly host: HostId
  /** Where it is; sources of the same zone are near. */
  readonly zone: number
  /** Where and how far ahead somebody reads what it downloads. */
  reader: Reader
  /** It fetches from the seed alone, and gives nothing away. */
  readonly isSeedOnly: boolean
  /** Verified at the member. */
  readonly held: Bitmap
  /** Held, or on its way there: what need not be assigned. */
  readonly covered: Bitmap
  readonly outstanding: Outstanding[]
  /** Pieces on their way that are late and may be asked of a second source. */
  readonly slow: SmallSet
  /** Late pieces that have been asked of a second source. */
  readonly hedged: SmallSet
  /** Null as long as it has none. */
  troubles: Troubles | null
  /** Right pieces that others say they had from it, and that it says it had from others. */
  servedCount: number
  receivedCount: number
  /** The last piece that it was the first to hold; -1 is none. */
  firstHeld: number
  /** Since when nothing was found for it; infinite while there is something. */
  hungrySince: number
  /** Among all who wait, and among the fast ones of them; null before it has waited and after it was taken out of the line. */
  place: Place | null
  fastPlace: Place | null
}

/** Of content that is read while it comes: so many missing pieces, from this one on, are needed first; 0 ahead where nobody reads. */
export type Reader = { readonly lookAhead: number; readonly fromPiece: number }

const NOBODY_READS: Reader = { lookAhead: 0, fromPiece: 0 }

export type Seat = {
  readonly zone?: number
  readonly reader?: Reader
  /** Fetches from the seed alone, and gives nothing away. */
  readonly isSeedOnly?: boolean
}

/** @param before the same host's earlier membership: who announces again is neither forgiven nor forgets */
export function newMember(
  { host, zone = 0, reader = NOBODY_READS, isSeedOnly = false }: Seat & { readonly host: HostId },
  size: number,
  before?: Member,
): Member {
  return {
    host,
    zone,
    reader,
    isSeedOnly,
    held: new Bitmap(size),
    covered: new Bitmap(size),
    outstanding: [],
    slow: new SmallSet(),
    hedged: new SmallSet(),
    troubles: before?.troubles ?? null,
    servedCount: before?.servedCount ?? 0,
    receivedCount: before?.receivedCount ?? 0,
    firstHeld: -1,
    hungrySince: Number.POSITIVE_INFINITY,
    place: null,
    fastPlace: null,
  }
}

/** Whether others may be sent to it. */
export function isSource(member: Member): boolean {
  return member.held.count > 0 && !member.isSeedOnly
}

/** Whether something that it asked of the source is late. */
export function isLateFrom(member: Member, source: HostId): boolean {
  for (const entry of member.outstanding) if (entry.isLate && entry.source === source) return true
  return false
}

/** Whether this piece is late from this source; if it is released then, another source was faster. */
export function isLateOf(member: Member, piece: number, source: HostId): boolean {
  return member.outstanding.some(entry => entry.isLate && entry.piece === piece && entry.source === source)
}

/** Marks the first of its assignments for the piece that is not marked yet. */
export function markLate(member: Member, piece: number): void {
  const late = member.outstanding.find(entry => entry.piece === piece && !entry.isLate)
  if (late) late.isLate = true
}

/** Pieces that it awaits from the source. */
export function awaitedFrom(member: Member, source: HostId): number {
  let count = 0
  for (const entry of member.outstanding) if (entry.source === source) count++
  return count
}

export function isAwaiting(member: Member, piece: number): boolean {
  return member.outstanding.some(entry => entry.piece === piece)
}

/** What of its link the assignments take that are neither late nor made because another one is. */
export function onTimeLoad(member: Member): number {
  let load = 0
  for (const { piece, shares } of member.outstanding) {
    if (!member.slow.has(piece) && !member.hedged.has(piece)) load += shares.atConsumer
  }
  return load
}
