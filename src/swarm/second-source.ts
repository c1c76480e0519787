import type { HostId } from './hosts.ts'
import { isIsolated, isUnreliableConsumer, type Member } from './member.ts'
import type { Choice, SwarmView } from './policy.ts'

/** Sources looked at per zone. */
const SAMPLE = 8

/** Another source for something that is late from its first; null where nothing is late or nobody else has it. */
export function pickSecond(view: SwarmView, member: Member, now: number): Choice | null {
  if (member.slow.size === 0) return null
  const fromPeer = isUnreliableConsumer(member) || member.isSeedOnly ? null : pickFromPeers(view, member, now)
  if (fromPeer) return fromPeer
  if (!view.quota.mayAsk(member, view.seed, now)) return null
  return lateFromOthers(member, view.seed, piece => view.pieces.isOffered(piece))
}

function pickFromPeers(view: SwarmView, member: Member, now: number): Choice | null {
  let found: Choice | null = null
  for (const zone of view.sources.zones) {
    view.sources.of(zone).free.sample(view.random, SAMPLE, source => {
      if (!view.quota.hasFreeSlot(source.host)) return 'busy'
      if (source === member || isIsolated(source) || !view.quota.mayAsk(member, source.host, now))
        return 'next'
      found = lateFromOthers(member, source.host, piece => source.held.has(piece))
      return found ? 'enough' : 'next'
    })
    if (found) return found
  }
  return null
}

function lateFromOthers(member: Member, source: HostId, offers: (piece: number) => boolean): Choice | null {
  for (const piece of member.slow) {
    const askedThere = member.outstanding.some(entry => entry.piece === piece && entry.source === source)
    if (!askedThere && offers(piece)) return { piece, source }
  }
  return null
}
