import type { HostId } from './hosts.ts'
import type { Member } from './member.ts'

type Avoided = { readonly until: number; readonly failures: number }

/** What has gone wrong between a member and others. Few members have any, and each decision asks for many members'. */
export type Troubles = {
  /** Sources that failed this member: how often in a row, and the time until which it does not ask them. */
  readonly avoided: Map<HostId, Avoided>
  /** How many pieces it has said that a source does not hold. */
  readonly denials: Map<HostId, number>
  /** Members that received wrong bytes from this one. */
  readonly accusers: Set<HostId>
  /** Sources that this member has accused. */
  readonly accused: Set<HostId>
}

function troublesOf(member: Member): Troubles {
  member.troubles ??= { avoided: new Map(), denials: new Map(), accusers: new Set(), accused: new Set() }
  return member.troubles
}

export function avoids(member: Member, source: HostId, now: number): boolean {
  const avoided = member.troubles?.avoided.get(source)
  return avoided !== undefined && now < avoided.until
}

/** Each failure after the pause for the last one doubles the pause, up to `mostMs`; failures during it count as one. */
export function avoid(
  member: Member,
  source: HostId,
  pause: { now: number; leastMs: number; mostMs: number },
): void {
  const { now, leastMs, mostMs } = pause
  const { avoided } = troublesOf(member)
  const { until, failures } = avoided.get(source) ?? { until: Number.NEGATIVE_INFINITY, failures: 0 }
  const isNew = now >= until
  const pauseMs = Math.min(leastMs * 2 ** (isNew ? failures : 0), mostMs)
  avoided.set(source, { until: Math.max(until, now + pauseMs), failures: failures + (isNew ? 1 : 0) })
}

/** The source has served it: the next failure is a first one, unless it is avoided still. */
export function forgive(member: Member, source: HostId, now: number): void {
  if (!avoids(member, source, now)) member.troubles?.avoided.delete(source)
}

/** It has received wrong bytes from the source. */
export function accuse(member: Member, source: { readonly host: HostId; readonly member?: Member }): void {
  if (source.member && !isUnreliableWitness(member)) troublesOf(source.member).accusers.add(member.host)
  troublesOf(member).accused.add(source.host)
}

export function denialsOf(member: Member, source: HostId): number {
  return member.troubles?.denials.get(source) ?? 0
}

/** The member says that the source does not hold a piece. Returns how often it has. */
export function countDenial(member: Member, source: HostId): number {
  const denials = denialsOf(member, source) + 1
  troublesOf(member).denials.set(source, denials)
  return denials
}

/**
 * Several members independently received wrong bytes from it, and it has served too few right pieces for that to be the network's fault:
 * not a source any more.
 */
export function isIsolated(member: Member): boolean {
  const { troubles, servedCount } = member
  return troubles !== null && troubles.accusers.size >= Math.max(2, servedCount / FORGIVEN_PER_LIE)
}

/** It accuses many for what it received: what it says about one more does not count against that one. */
function isUnreliableWitness(member: Member): boolean {
  return accusesAtLeast(member, 3)
}

/** It accuses everybody: its own memory, disk or intentions are bad, and only the seed is asked to serve it. */
export function isUnreliableConsumer(member: Member): boolean {
  return accusesAtLeast(member, 8)
}

function accusesAtLeast({ troubles, receivedCount }: Member, least: number): boolean {
  return (
    troubles !== null && troubles.accused.size >= Math.max(least, receivedCount / BELIEVED_PER_ACCUSATION)
  )
}

/** Right pieces for which one wrong one is bad luck of the source, or of the consumer. */
const FORGIVEN_PER_LIE = 16
const BELIEVED_PER_ACCUSATION = 8
