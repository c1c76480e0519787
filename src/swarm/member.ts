import { Bitmap } from '../core/bitmap.ts'
import type { HostId } from './hosts.ts'

export type Outstanding = { readonly piece: number; readonly source: HostId }

/** One host in one task's swarm, as consumer and as source. */
export type Member = {
  readonly host: HostId
  /** Verified at the member. */
  readonly held: Bitmap
  /** Held, or on its way there: what need not be assigned. */
  readonly covered: Bitmap
  readonly outstanding: Outstanding[]
  /** Pieces that are late and may be asked of a second source. */
  readonly slow: Set<number>
  /** Sources that failed this member, with the time until which it does not ask them. */
  readonly avoided: Map<HostId, number>
  /** Members that received wrong bytes from this one. */
  readonly accusers: Set<HostId>
  /** Sources that this member has accused. */
  readonly accused: Set<HostId>
}

export function newMember(host: HostId, size: number): Member {
  return {
    host,
    held: new Bitmap(size),
    covered: new Bitmap(size),
    outstanding: [],
    slow: new Set(),
    avoided: new Map(),
    accusers: new Set(),
    accused: new Set(),
  }
}

export function avoids(member: Member, source: HostId, now: number): boolean {
  const until = member.avoided.get(source)
  return until !== undefined && now < until
}

/** Two members independently received wrong bytes from it: not a source any more. */
export function isIsolated(member: Member): boolean {
  return member.accusers.size >= 2
}

/** It accuses everybody: its own memory, disk or intentions are bad, and only the seed is asked to serve it. */
export function isUnreliableWitness(member: Member): boolean {
  return member.accused.size >= 3
}
