import { pickIndex } from '../core/random.ts'
import type { Member } from './member.ts'
import type { Choice, Policy, SwarmView } from './policy.ts'
import { isIsolated } from './troubles.ts'

/**
 * For comparison: what a swarm does without a mind, as BitTorrent clients do. Each member knows a few others at random, asks one of them
 * that has a slot free for the piece that is rarest among those it knows, and counts the seed as one of them. Nobody knows what is on its
 * way to whom.
 */
export function randomMesh(): Policy {
  const meshes = new WeakMap<Member, Member[]>()
  return {
    pick(view, member, now) {
      const neighbours = neighboursOf(view, member, meshes)
      const start = pickIndex(view.random, neighbours.length + 1)
      for (let i = 0; i <= neighbours.length; i++) {
        const at = (start + i) % (neighbours.length + 1)
        const found =
          at === neighbours.length
            ? pickFromSeed(view, member, { neighbours, now })
            : pickFromNeighbour(view, member, { source: neighbours[at], neighbours, now })
        if (found) return found
      }
      return null
    },
  }
}

const NEIGHBOURS = 30

function neighboursOf(view: SwarmView, member: Member, meshes: WeakMap<Member, Member[]>): Member[] {
  const known = (meshes.get(member) ?? []).filter(other => view.memberOf(other.host) === other)
  const sources = view.sources.all
  for (let tries = 0; known.length < NEIGHBOURS && tries < 4 && sources.size > 0; tries++) {
    const other = sources.at(pickIndex(view.random, sources.size))
    if (other !== member && !known.includes(other)) known.push(other)
  }
  meshes.set(member, known)
  return known
}

type Mesh = { readonly neighbours: readonly Member[]; readonly now: number }

function pickFromNeighbour(view: SwarmView, member: Member, mesh: Mesh & { source: Member }): Choice | null {
  const { source, now } = mesh
  if (isIsolated(source) || !source.held.hasBeyond(member.covered)) return null
  if (!view.quota.mayAsk(member, source.host, now)) return null
  const isUseful = (piece: number) =>
    source.held.has(piece) && !member.covered.has(piece) && view.pieces.isOffered(piece)
  const piece = rarestAround(view, mesh.neighbours, isUseful)
  return piece < 0 ? null : { piece, source: source.host }
}

function pickFromSeed(view: SwarmView, member: Member, { neighbours, now }: Mesh): Choice | null {
  if (!view.quota.mayAsk(member, view.seed, now)) return null
  const isUseful = (piece: number) => !member.covered.has(piece) && view.pieces.isOffered(piece)
  const piece = rarestAround(view, neighbours, isUseful)
  return piece < 0 ? null : { piece, source: view.seed }
}

function rarestAround(
  view: SwarmView,
  neighbours: readonly Member[],
  isUseful: (piece: number) => boolean,
): number {
  const { size } = view.pieces
  const offset = pickIndex(view.random, size)
  let best = -1
  let fewest = Number.POSITIVE_INFINITY
  for (let i = 0; i < size; i++) {
    const piece = (offset + i) % size
    if (!isUseful(piece)) continue
    let copies = 0
    for (const { held } of neighbours) if (held.has(piece)) copies++
    if (copies >= fewest) continue
    best = piece
    fewest = copies
  }
  return best
}
