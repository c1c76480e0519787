import { pickIndex } from '../core/random.ts'
import type { Member } from './member.ts'
import type { Choice, Policy, SwarmView } from './policy.ts'
import { isIsolated } from './troubles.ts'

/**
 * For comparison: the rule of Dragonfly 1.x. Pieces with the fewest holders first, ties by the distance to the mean of those on their way,
 * then by chance; for each piece the first holder with a slot free, else the supernode, else the next piece. What is on its way to others
 * does not count as held.
 */
export const v1Rule: Policy = {
  pick(view, member, now) {
    for (const piece of inOrderOfRule(view, member)) {
      const source = holderOf(view, member, { piece, now })
      if (source !== null) return { piece, source }
      if (view.quota.mayAsk(member, view.seed, now)) return { piece, source: view.seed }
    }
    return null
  },
}

function inOrderOfRule(view: SwarmView, member: Member): number[] {
  const running = member.outstanding.map(({ piece }) => piece)
  const mean =
    running.length === 0 ? 0 : Math.floor(running.reduce((sum, piece) => sum + piece, 0) / running.length)
  const sources = view.sources.all
  const ranked: { piece: number; holders: number; distance: number; chance: number }[] = []
  for (let piece = 0; piece < view.pieces.size; piece++) {
    if (member.covered.has(piece) || !view.pieces.isOffered(piece)) continue
    let holders = 0
    for (let i = 0; i < sources.size; i++) if (sources.at(i).held.has(piece)) holders++
    ranked.push({ piece, holders, distance: Math.abs(piece - mean), chance: view.random.next() })
  }
  ranked.sort((a, b) => a.holders - b.holders || a.distance - b.distance || a.chance - b.chance)
  return ranked.map(({ piece }) => piece)
}

function holderOf(
  view: SwarmView,
  member: Member,
  { piece, now }: { piece: number; now: number },
): Choice['source'] | null {
  const sources = view.sources.all
  const start = pickIndex(view.random, Math.max(1, sources.size))
  for (let i = 0; i < sources.size; i++) {
    const source = sources.at((start + i) % sources.size)
    if (source === member || isIsolated(source) || !source.held.has(piece)) continue
    if (view.quota.mayAsk(member, source.host, now)) return source.host
  }
  return null
}
