import { Bitmap } from '../core/bitmap.ts'
import type { HostId } from './hosts.ts'

type Outstanding = {
  readonly piece: number
  readonly source: HostId
  isLate: boolean
  /** How long it occupies a slot of the source; infinite once it does not any more. */
  slotUntil: number
}

type Avoided = { readonly until: number; readonly failures: number }

/** One host in one task's swarm, as consumer and as source. */
export type Member = {
  readonly host: HostId
  /** Verified at the member. */
  readonly held: Bitmap
  /** Held, or on its way there: what need not be assigned. */
  readonly covered: Bitmap
  readonly outstanding: Outstanding[]
  /** Pieces on their way that are late and may be asked of a second source. */
  readonly slow: Set<number>
  /** Late pieces that have been asked of a second source. */
  readonly hedged: Set<number>
  /** Sources that failed this member: how often in a row, and the time until which it does not ask them. */
  readonly avoided: Map<HostId, Avoided>
  /** How many pieces it has said that a source does not hold. */
  readonly denials: Map<HostId, number>
  /** Members that received wrong bytes from this one. */
  readonly accusers: Set<HostId>
  /** Sources that this member has accused. */
  readonly accused: Set<HostId>
}

/** @param before the same host's earlier membership: who announces again is neither forgiven nor forgets */
export function newMember(host: HostId, size: number, before?: Member): Member {
  return {
    host,
    held: new Bitmap(size),
    covered: new Bitmap(size),
    outstanding: [],
    slow: new Set(),
    hedged: new Set(),
    avoided: before?.avoided ?? new Map(),
    denials: before?.denials ?? new Map(),
    accusers: before?.accusers ?? new Set(),
    accused: before?.accused ?? new Set(),
  }
}

export function avoids(member: Member, source: HostId, now: number): boolean {
  const avoided = member.avoided.get(source)
  return avoided !== undefined && now < avoided.until
}

/** Each failure after the pause for the last one doubles the pause, up to `mostMs`; failures during it count as one. */
export function avoid(
  member: Member,
  source: HostId,
  pause: { now: number; leastMs: number; mostMs: number },
): void {
  const { now, leastMs, mostMs } = pause
  const { until, failures } = member.avoided.get(source) ?? { until: Number.NEGATIVE_INFINITY, failures: 0 }
  const isNew = now >= until
  const pauseMs = Math.min(leastMs * 2 ** (isNew ? failures : 0), mostMs)
  member.avoided.set(source, { until: Math.max(until, now + pauseMs), failures: failures + (isNew ? 1 : 0) })
}

/** Whether something that it asked of the source is late. */
export function isLateFrom(member: Member, source: HostId): boolean {
  return member.outstanding.some(entry => entry.isLate && entry.source === source)
}

export function isAwaiting(member: Member, piece: number): boolean {
  return member.outstanding.some(entry => entry.piece === piece)
}

/** Assignments that are neither late nor made because another one is. */
export function onTimeCount(member: Member): number {
  if (member.slow.size === 0 && member.hedged.size === 0) return member.outstanding.length
  let count = 0
  for (const { piece } of member.outstanding) {
    if (!member.slow.has(piece) && !member.hedged.has(piece)) count++
  }
  return count
}

/** Two members independently received wrong bytes from it: not a source any more. */
export function isIsolated(member: Member): boolean {
  return member.accusers.size >= 2
}

/** It accuses everybody: its own memory, disk or intentions are bad, and only the seed is asked to serve it. */
export function isUnreliableWitness(member: Member): boolean {
  return member.accused.size >= 3
}
