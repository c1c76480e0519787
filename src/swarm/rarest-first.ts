import type { Bitmap } from '../core/bitmap.ts'
import { pickIndex } from '../core/random.ts'
import { isIsolated, isUnreliableConsumer, type Member, onTimeLoad } from './member.ts'
import type { Candidates, PieceSpan, PieceTable } from './piece-table.ts'
import type { Choice, Policy, SwarmView } from './policy.ts'

/**
 * The policy that ships. The seed gives away what nobody has; everything else comes from peers as far as they can serve it. Among a few
 * sources with a slot free, the one that does least comes first, and gives one of the rarest pieces that it has to give. Where there are
 * zones, each imports every piece once and spreads it within; only who starves may have a second import.
 */
export const rarestFirst: Policy = sampling((pieces, candidates) => pieces.rarestOf(candidates))

type PiecePicker = (pieces: PieceTable, candidates: Candidates) => number

/** The same choice of sources with another choice of pieces. */
export function sampling(pickPiece: PiecePicker): Policy {
  return {
    pick(view, member, now) {
      const search = newSearch(view, member, { now, pickPiece })
      const forReader =
        member.reader.lookAhead > 0 ? pick(view, member, { ...search, within: search.near }) : null
      return forReader ?? pick(view, member, search)
    },
    pickNext(view, member, now) {
      const search = newSearch(view, member, { now, pickPiece })
      return pickNext(view, member, { ...search, within: search.near }) ?? pickNext(view, member, search)
    },
  }
}

type Search = {
  readonly now: number
  readonly pickPiece: PiecePicker
  /** The look-ahead: what lies in it comes first from peers. */
  readonly near: PieceSpan
  /** No piece outside will do. */
  readonly within: PieceSpan
  /** Nor one of these: what the member has or awaits, and in an import, its zone. */
  readonly covered: Bitmap
}

const ANYWHERE: PieceSpan = { start: 0, end: Number.POSITIVE_INFINITY }

/**
 * The look-ahead is a quarter of the pieces, or as far as whoever reads meanwhile asks for: what is begun comes to its end first. It begins
 * where the reader does, and once nothing is missing from there on, at the first piece.
 */
function newSearch(
  view: SwarmView,
  { covered, reader }: Member,
  how: { now: number; pickPiece: PiecePicker },
): Search {
  const ahead = reader.fromPiece > 0 ? covered.firstMissing(reader.fromPiece) : 0
  const start = ahead < (view.pieces.count ?? covered.size) ? ahead : 0
  const end = covered.firstMissing(start) + (reader.lookAhead || Math.ceil(covered.size / 4))
  return { ...how, near: { start, end }, within: ANYWHERE, covered }
}

/** Sources looked at per decision. */
const SOURCE_SAMPLE = 8
/** Other zones looked at per decision. */
const ZONE_SAMPLE = 4
/** After so long without anything on its way, a member may have what its zone awaits already. */
const ZONE_PATIENCE_MS = 2_000
/** Pieces on their way into a zone at once, and out of it, per member; few, so that each is there soon, and enough to fill its line. */
const CROSSINGS_PER_MEMBER = 1 / 32
const CROSSINGS_MIN = 2

function crossingsMax(view: SwarmView, zone: number): number {
  return Math.max(CROSSINGS_MIN, view.sources.of(zone).members * CROSSINGS_PER_MEMBER)
}

function pick(view: SwarmView, member: Member, search: Search): Choice | null {
  if (member.isSeedOnly) return pickFromSeed(view, member, search)
  return view.sources.zones.length > 1
    ? pickAcrossZones(view, member, search)
    : pickInOneZone(view, member, search)
}

function pickInOneZone(view: SwarmView, member: Member, search: Search): Choice | null {
  const fresh = pickFresh(view, member, search)
  if (fresh) return fresh
  return pickFromPeers(view, member, member.zone, search) ?? pickFromSeed(view, member, search)
}

function pickAcrossZones(view: SwarmView, member: Member, search: Search): Choice | null {
  const { zone } = member
  if (view.sources.of(zone).imports < crossingsMax(view, zone)) {
    const imported = pickImport(view, member, { ...search, covered: view.pieces.coveredIn(zone) })
    if (imported) return imported
  }
  const local = pickFromPeers(view, member, zone, search)
  const isPatient = !isStarving(member) || search.now - member.hungrySince < ZONE_PATIENCE_MS
  return local || isPatient ? local : pickImport(view, member, search)
}

function pickImport(view: SwarmView, member: Member, search: Search): Choice | null {
  const fresh = pickFresh(view, member, search)
  if (fresh) return fresh
  const { sources, random } = view
  const { zones } = sources
  const start = pickIndex(random, zones.length)
  for (let i = 0; i < Math.min(ZONE_SAMPLE, zones.length); i++) {
    const zone = zones[(start + i) % zones.length]
    if (zone === member.zone || sources.of(zone).exports >= crossingsMax(view, zone)) continue
    const found = pickFromPeers(view, member, zone, search)
    if (found) return found
  }
  return pickFromSeed(view, member, search)
}

/**
 * What nobody has or awaits. Who holds a piece that nobody else has yet has enough to give: each further one would wait there for its turn,
 * while others have nothing that is worth giving.
 */
function pickFresh(view: SwarmView, member: Member, { now, within }: Search): Choice | null {
  const isLaden = member.firstHeld >= 0 && view.pieces.copiesOf(member.firstHeld) === 1
  if ((isLaden && view.sources.all.size > 1) || !view.quota.mayAsk(member, view.seed, now)) return null
  const piece = view.pieces.fresh(within)
  return piece < 0 ? null : { piece, source: view.seed }
}

/** Second copies come from the seed only for those who have nothing else or want nothing else, so that it is not the bottleneck that it could be. */
function pickFromSeed(view: SwarmView, member: Member, { now, within, covered }: Search): Choice | null {
  const mayTakeCopies = member.isSeedOnly || isStarving(member)
  if (!mayTakeCopies || !view.quota.mayAsk(member, view.seed, now)) return null
  const piece = view.pieces.rarest(covered, within)
  return piece >= 0 ? { piece, source: view.seed } : null
}

function pickFromPeers(view: SwarmView, member: Member, zone: number, search: Search): Choice | null {
  if (isUnreliableConsumer(member)) return null
  const near = best(view, member, zone, { ...search, within: search.near })
  return near || search.within === search.near ? near : best(view, member, zone, search)
}

/** Among a few sources the first that has something to give, and of those the one that does least. */
function best(view: SwarmView, member: Member, zone: number, search: Search): Choice | null {
  const { hosts, pieces, quota, random } = view
  let choice: Choice | null = null
  let leastLoad = Number.POSITIVE_INFINITY
  view.sources.of(zone).free.sample(random, SOURCE_SAMPLE, source => {
    if (!quota.hasFreeSlot(source.host)) return 'busy'
    if (!source.held.hasBeyond(search.covered)) return 'next'
    const load = hosts.utilisation(source.host)
    if (source === member || load >= leastLoad || isIsolated(source)) return 'next'
    if (!quota.mayAsk(member, source.host, search.now)) return 'next'
    const { covered, within } = search
    const piece = search.pickPiece(pieces, { held: source.held, covered, within })
    if (piece < 0) return 'next'
    choice = { piece, source: source.host }
    leastLoad = load
    return load === 0 ? 'enough' : 'next'
  })
  return choice
}

/** From a source of the same zone that is sending to the member already. */
function pickNext(view: SwarmView, member: Member, search: Search): Choice | null {
  for (const { source: host, fromZone } of member.outstanding) {
    const source = fromZone === member.zone ? view.memberOf(host) : undefined
    if (!source || isIsolated(source) || !view.quota.mayQueue(member, host, search.now)) continue
    const { covered, within } = search
    const piece = search.pickPiece(view.pieces, { held: source.held, covered, within })
    if (piece >= 0) return { piece, source: host }
  }
  return null
}

function isStarving(member: Member): boolean {
  return member.slow.size > 0 || onTimeLoad(member) === 0
}
