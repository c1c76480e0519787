import type { Bitmap } from '../core/bitmap.ts'
import { pickIndex } from '../core/random.ts'
import { type Member, onTimeLoad } from './member.ts'
import type { Candidates, PieceSpan, PieceTable } from './piece-table.ts'
import type { Choice, Policy, SwarmView } from './policy.ts'
import { isIsolated, isUnreliableConsumer } from './troubles.ts'

/**
 * The policy that ships. The seed gives away what nobody has; everything else comes from peers as far as they can serve it. Among a few
 * sources with a slot free, the one that does least comes first, and gives one of the rarest pieces that it has to give. Where there are
 * zones, each imports every piece once and spreads it within; only who starves may have a second import.
 */
export const rarestFirst: Policy = sampling((pieces, candidates) => pieces.rarestOf(candidates))

type PiecePicker = (pieces: PieceTable, candidates: Candidates) => number

/** The same choice of sources with another choice of pieces. */
export function sampling(pickPiece: PiecePicker): Policy {
  const searchOf = (view: SwarmView, member: Member, now: number): Search => ({
    view,
    member,
    now,
    pickPiece,
    near: nearOf(view, member),
    covered: member.covered,
  })
  return {
    pick(view, member, now) {
      const search = searchOf(view, member, now)
      const forReader = member.reader.lookAhead > 0 ? pick(search, search.near) : null
      return forReader ?? pick(search, ANYWHERE)
    },
    pickFresh(view, member, now) {
      const { sources } = view
      const isImport = sources.zones.length > 1
      const mayImport = !isImport || sources.of(member.zone).imports < crossingsMax(view, member.zone)
      if (member.isSeedOnly || !mayImport) return null
      const search = searchOf(view, member, now)
      const forReader = member.reader.lookAhead > 0 ? pickFresh(search, search.near) : null
      return forReader ?? pickFresh(search, ANYWHERE)
    },
    pickNext(view, member, now) {
      const search = searchOf(view, member, now)
      return pickNext(search, search.near) ?? pickNext(search, ANYWHERE)
    },
  }
}

type Search = {
  readonly view: SwarmView
  /** For whom. */
  readonly member: Member
  readonly now: number
  readonly pickPiece: PiecePicker
  /** The look-ahead: what lies in it comes first from peers. */
  readonly near: PieceSpan
  /** None of these will do: what the member has or awaits, and in an import, its zone. */
  readonly covered: Bitmap
}

const ANYWHERE: PieceSpan = { start: 0, end: Number.POSITIVE_INFINITY }

/**
 * The look-ahead is a quarter of the pieces, or as far as whoever reads meanwhile asks for: what is begun comes to its end first. It begins
 * where the reader does, and once nothing is missing from there on, at the first piece.
 */
function nearOf(view: SwarmView, { covered, reader }: Member): PieceSpan {
  const ahead = reader.fromPiece > 0 ? covered.firstMissing(reader.fromPiece) : 0
  const start = ahead < (view.pieces.count ?? covered.size) ? ahead : 0
  const end = covered.firstMissing(start) + (reader.lookAhead || Math.ceil(covered.size / 4))
  return { start, end }
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

/** @param within no piece outside will do */
function pick(search: Search, within: PieceSpan): Choice | null {
  const { view, member } = search
  if (member.isSeedOnly) return pickFromSeed(search, within)
  return view.sources.zones.length > 1 ? pickAcrossZones(search, within) : pickInOneZone(search, within)
}

function pickInOneZone(search: Search, within: PieceSpan): Choice | null {
  const fresh = pickFresh(search, within)
  if (fresh) return fresh
  return pickFromPeers(search, search.member.zone, within) ?? pickFromSeed(search, within)
}

function pickAcrossZones(search: Search, within: PieceSpan): Choice | null {
  const { view, member, now } = search
  const { zone } = member
  if (view.sources.of(zone).imports < crossingsMax(view, zone)) {
    const imported = pickImport({ ...search, covered: view.pieces.coveredIn(zone) }, within)
    if (imported) return imported
  }
  const local = pickFromPeers(search, zone, within)
  const isPatient = !isStarving(member) || now - member.hungrySince < ZONE_PATIENCE_MS
  return local || isPatient ? local : pickImport(search, within)
}

function pickImport(search: Search, within: PieceSpan): Choice | null {
  const fresh = pickFresh(search, within)
  if (fresh) return fresh
  const { view, member } = search
  const { sources, random } = view
  const { zones } = sources
  const start = pickIndex(random, zones.length)
  for (let i = 0; i < Math.min(ZONE_SAMPLE, zones.length); i++) {
    const zone = zones[(start + i) % zones.length]
    if (zone === member.zone || sources.of(zone).exports >= crossingsMax(view, zone)) continue
    const found = pickFromPeers(search, zone, within)
    if (found) return found
  }
  return pickFromSeed(search, within)
}

/**
 * What nobody has or awaits. Who holds a piece that nobody else has yet has enough to give: each further one would wait there for its turn,
 * while others have nothing that is worth giving.
 */
function pickFresh({ view, member, now }: Search, within: PieceSpan): Choice | null {
  const isLaden = member.firstHeld >= 0 && view.pieces.copiesOf(member.firstHeld) === 1
  if ((isLaden && view.sources.all.size > 1) || !view.quota.mayAsk(member, view.seed, now)) return null
  const piece = view.pieces.fresh(within)
  return piece < 0 ? null : { piece, source: view.seed }
}

/** Second copies come from the seed only for those who have nothing else or want nothing else, so that it is not the bottleneck that it could be. */
function pickFromSeed({ view, member, now, covered }: Search, within: PieceSpan): Choice | null {
  const mayTakeCopies = member.isSeedOnly || isStarving(member)
  if (!mayTakeCopies || !view.quota.mayAsk(member, view.seed, now)) return null
  const piece = view.pieces.rarest(covered, within)
  return piece >= 0 ? { piece, source: view.seed } : null
}

function pickFromPeers(search: Search, zone: number, within: PieceSpan): Choice | null {
  if (isUnreliableConsumer(search.member)) return null
  const near = best(search, zone, search.near)
  return near || within === search.near ? near : best(search, zone, within)
}

/** Among a few sources the first that has something to give, and of those the one that does least. */
function best(search: Search, zone: number, within: PieceSpan): Choice | null {
  const { view, member, now, covered } = search
  const { hosts, pieces, quota, random } = view
  let choice: Choice | null = null
  let leastLoad = Number.POSITIVE_INFINITY
  const sample = view.sources.of(zone).free.sample(random, SOURCE_SAMPLE)
  for (let source = sample.next(); source; source = sample.next()) {
    const { host, held } = source
    if (!quota.hasFreeSlot(host)) {
      sample.takeOut()
      continue
    }
    if (!held.hasBeyond(covered)) continue
    const load = hosts.utilisation(host)
    if (source === member || load >= leastLoad || isIsolated(source)) continue
    if (!quota.mayAsk(member, host, now)) continue
    const piece = search.pickPiece(pieces, { held, covered, within })
    if (piece < 0) continue
    choice = { piece, source: host }
    leastLoad = load
    if (load === 0) break
  }
  return choice
}

/** From a source of the same zone that is sending to the member already. */
function pickNext(search: Search, within: PieceSpan): Choice | null {
  const { view, member, now, covered } = search
  for (const { source: host, fromZone } of member.outstanding) {
    const source = fromZone === member.zone ? view.memberOf(host) : undefined
    if (!source || isIsolated(source) || !view.quota.mayQueue(member, host, now)) continue
    const piece = search.pickPiece(view.pieces, { held: source.held, covered, within })
    if (piece >= 0) return { piece, source: host }
  }
  return null
}

function isStarving(member: Member): boolean {
  return member.slow.size > 0 || onTimeLoad(member) === 0
}
