import type { HostId } from './hosts.ts'
import type { Member } from './member.ts'
import type { Choice, SwarmView } from './policy.ts'
import { isIsolated, isUnreliableConsumer } from './troubles.ts'

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
  for (const zone of view.sources.zones) {
    const sample = view.sources.of(zone).free.sample(view.random, SAMPLE)
    for (let source = sample.next(); source; source = sample.next()) {
      const { host, held } = source
      if (!view.quota.hasFreeSlot(host)) {
        sample.takeOut()
        continue
      }
      if (source === member || isIsolated(source) || !view.quota.mayAsk(member, host, now)) continue
      const found = lateFromOthers(member, host, piece => held.has(piece))
      if (found) return found
    }
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
