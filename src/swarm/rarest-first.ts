import type { Bitmap } from '../core/bitmap.ts'
import { pickIndex } from '../core/random.ts'
import { isIsolated, isUnreliableWitness, type Member, onTimeLoad } from './member.ts'
import type { PieceTable } from './piece-table.ts'
import type { Choice, Policy, SwarmView } from './policy.ts'

/**
 * The policy that ships. The seed gives away what nobody has; everything else comes from peers as far as they can serve it. Among a few
 * sources with a slot free, the one that does least comes first, and gives one of the rarest pieces that it has to give. Where there are
 * zones, each imports every piece once and spreads it within; only who starves may have a second import.
 */
export const rarestFirst: Policy = sampling((pieces, held, covered, isWanted) =>
  pieces.rarestHeld(held, covered, isWanted),
)

/** Which of the pieces that a source holds and a consumer lacks; -1 is none. */
type PiecePicker = (
  pieces: PieceTable,
  held: Bitmap,
  covered: Bitmap,
  isWanted?: (piece: number) => boolean,
) => number

/** The same choice of sources with another choice of pieces. */
export function sampling(pickPiece: PiecePicker): Policy {
  return {
    pick(view, member, now) {
      const search = { now, pickPiece }
      const isNear = withinLookAhead(member)
      const near = isNear ? pick(view, member, { ...search, isNear }) : null
      return near ?? pick(view, member, search)
    },
  }
}

function pick(view: SwarmView, member: Member, search: Search): Choice | null {
  return view.zones.length > 1 ? pickAcrossZones(view, member, search) : pickInOneZone(view, member, search)
}

/** A quarter of the pieces ahead, or as far as whoever reads meanwhile asks for: what is begun comes to its end first. */
function withinLookAhead(member: Member): ((piece: number) => boolean) | null {
  const lookAhead = member.lookAhead || Math.ceil(member.covered.size / 4)
  const end = member.covered.firstMissing() + lookAhead
  return piece => piece < end
}

/** Sources looked at per decision. */
const SOURCE_SAMPLE = 8
/** Other zones looked at per decision. */
const ZONE_SAMPLE = 4
/** After so long without anything on its way, a member may have what its zone awaits already. */
const ZONE_PATIENCE_MS = 2_000
/** Pieces on their way into a zone at once, per member; few, so that each is there soon, and enough to fill its line. */
const IMPORTS_PER_MEMBER = 1 / 8
const IMPORTS_MIN = 2

type Search = {
  readonly now: number
  readonly pickPiece: PiecePicker
  readonly isWanted?: (piece: number) => boolean
  /** Within the look-ahead. */
  readonly isNear?: (piece: number) => boolean
}

function pickInOneZone(view: SwarmView, member: Member, search: Search): Choice | null {
  const fresh = pickFresh(view, member, search)
  if (fresh) return fresh
  const fromPeer = isUnreliableWitness(member) ? null : best(view, member, member.zone, search)
  return fromPeer ?? pickFromSeed(view, member, search)
}

function pickAcrossZones(view: SwarmView, member: Member, search: Search): Choice | null {
  const { zone } = member
  const importsMax = Math.max(IMPORTS_MIN, view.membersIn(zone) * IMPORTS_PER_MEMBER)
  const isPatient = !isStarving(member) || search.now - member.hungrySince < ZONE_PATIENCE_MS
  const isNew = (piece: number) => view.pieces.copiesIn(zone, piece) === 0
  const imported =
    view.importsInto(zone) < importsMax ? pickImport(view, member, { ...search, isWanted: isNew }) : null
  if (imported) return imported
  const local = isUnreliableWitness(member) ? null : best(view, member, zone, search)
  return local || isPatient ? local : pickImport(view, member, search)
}

function pickImport(view: SwarmView, member: Member, search: Search): Choice | null {
  const fresh = pickFresh(view, member, search)
  if (fresh) return fresh
  if (!isUnreliableWitness(member)) {
    const { zones, random } = view
    const start = pickIndex(random, zones.length)
    for (let i = 0; i < Math.min(ZONE_SAMPLE, zones.length); i++) {
      const zone = zones[(start + i) % zones.length]
      const found = zone === member.zone ? null : best(view, member, zone, search)
      if (found) return found
    }
  }
  return pickFromSeed(view, member, search)
}

/** What nobody has or awaits; it is far ahead only for those who read meanwhile. */
function pickFresh(view: SwarmView, member: Member, search: Search): Choice | null {
  if (!view.mayAsk(member, view.seed, search.now)) return null
  const piece = view.pieces.fresh()
  const { isWanted, isNear } = search
  if (piece < 0 || (isWanted && !isWanted(piece))) return null
  return member.lookAhead > 0 && isNear && !isNear(piece) ? null : { piece, source: view.seed }
}

/** Second copies come from the seed only for those who have nothing else, so that it is not the bottleneck that it could be. */
function pickFromSeed(view: SwarmView, member: Member, search: Search): Choice | null {
  if (search.isNear && member.lookAhead === 0) return null
  if (!isStarving(member) || !view.mayAsk(member, view.seed, search.now)) return null
  const isWanted = wantedIn(search)
  const piece = view.pieces.rarest(
    candidate => !member.covered.has(candidate) && (isWanted?.(candidate) ?? true),
  )
  return piece >= 0 ? { piece, source: view.seed } : null
}

function wantedIn({ isWanted, isNear }: Search): ((piece: number) => boolean) | undefined {
  if (!isWanted || !isNear) return isWanted ?? isNear
  return piece => isWanted(piece) && isNear(piece)
}

function isStarving(member: Member): boolean {
  return member.slow.size > 0 || onTimeLoad(member) === 0
}

/** Among a few sources the first that has something to give, and of those the one that does least. */
function best(view: SwarmView, member: Member, zone: number, search: Search): Choice | null {
  const { hosts, pieces, random } = view
  let choice: Choice | null = null
  let leastLoad = Number.POSITIVE_INFINITY
  const isWanted = wantedIn(search)
  view.freeSources(zone).sample(random, SOURCE_SAMPLE, source => {
    if (!view.hasFreeSlot(source.host)) return 'busy'
    const load = hosts.utilisation(source.host)
    if (source === member || load >= leastLoad || isIsolated(source)) return 'next'
    if (!view.mayAsk(member, source.host, search.now)) return 'next'
    const piece = search.pickPiece(pieces, source.held, member.covered, isWanted)
    if (piece < 0) return 'next'
    choice = { piece, source: source.host }
    leastLoad = load
    return load === 0 ? 'enough' : 'next'
  })
  return choice
}
