import type { ErrorCode } from '../core/error.ts'
import type { Random } from '../core/random.ts'
import { pickIndex } from '../core/random.ts'
import { isAccusation, isDenial, pauseAfter } from './avoidance.ts'
import type { HostId, Hosts } from './hosts.ts'
import { HungryQueue } from './hungry-queue.ts'
import {
  avoid,
  avoids,
  isAwaiting,
  isIsolated,
  isLateFrom,
  isUnreliableWitness,
  type Member,
  newMember,
  onTimeCount,
} from './member.ts'
import { PieceTable } from './piece-table.ts'

/**
 * The swarm of one generation of one task: who holds which piece, who shall fetch which piece from whom. Synchronous and free of I/O:
 * events go in with `now`, assignments come out of `takeAssignments`. A decision costs a bounded number of sampled sources times a scan
 * of one bitmap, however many members there are.
 */

export type Assignment = { readonly consumer: HostId; readonly piece: number; readonly source: HostId }

export type ConsumerReport = {
  readonly done: readonly { piece: number; source: HostId }[]
  readonly failed: readonly { piece: number; source: HostId; code: ErrorCode }[]
  readonly released: readonly { piece: number; source: HostId }[]
  readonly slow: readonly number[]
  /** Pieces that the consumer holds without having been assigned them, such as those from the origin. */
  readonly fromOrigin: readonly number[]
}

type SwarmOptions = {
  readonly hosts: Hosts
  readonly seed: HostId
  readonly random: Random
  /** Pieces a consumer may have on their way at once, not counting late ones; and never more than twice as many with them. */
  readonly window: number
}

/** Sources looked at per decision. */
const SOURCE_SAMPLE = 8
/** Waiting consumers looked at in vain per event. */
const HUNGRY_SAMPLE = 16
/** Pieces that a member may always ask of one source at once: one is sent while the next is asked for. */
const SHARE_MIN = 2
/** A member without company may have more on its way: there is nobody to share with soon. */
const LONE_WINDOW = 8
/** A piece that takes longer has its slot no more: whoever never fetches or never says so must not keep the others waiting. */
const SLOT_MS = 15_000
/** Pieces that one member can make us believe a source does not hold; a source that lacks more of what it claims is a liar, or the member. */
const DENIALS_MAX = 4

export class TaskSwarm {
  readonly #hosts: Hosts
  readonly #seed: HostId
  readonly #random: Random
  readonly #window: number
  readonly #members = new Map<HostId, Member>()
  /** Members that hold at least one piece, in no order. */
  readonly #sources: Member[] = []
  /** Consumers with room in their window for which nothing was found, longest waiting first. */
  readonly #hungry = new HungryQueue()
  readonly #pieces: PieceTable
  #assignments: Assignment[] = []

  constructor(options: SwarmOptions, pieceCount: number | null) {
    this.#hosts = options.hosts
    this.#seed = options.seed
    this.#random = options.random
    this.#window = options.window
    this.#pieces = new PieceTable(pieceCount, options.random)
  }

  get memberCount(): number {
    return this.#members.size
  }

  get pieceCount(): number | null {
    return this.#pieces.count
  }

  isMember(host: HostId): boolean {
    return this.#members.has(host)
  }

  /** Members that do not hold everything yet. */
  *consumers(): Generator<HostId> {
    for (const member of this.#members.values()) if (!this.#isSatisfied(member)) yield member.host
  }

  get consumerCount(): number {
    let count = 0
    for (const _ of this.consumers()) count++
    return count
  }

  /** Ends the swarm: every slot is free again. */
  dissolve(): void {
    for (const host of [...this.#members.keys()]) this.#remove(host)
    this.#assignments = []
  }

  /** The origin has ended: the number of pieces is final. */
  seal(pieceCount: number): void {
    this.#growTo(pieceCount)
    this.#pieces.seal(pieceCount)
    for (const member of this.#members.values()) {
      for (const piece of member.held.members()) if (piece >= pieceCount) this.#unhold(member, piece)
      if (this.#isSatisfied(member)) this.#hungry.delete(member)
    }
  }

  /** The seed holds one more verified piece. */
  offerSeedPiece(piece: number, now: number): void {
    this.#growTo(piece + 1)
    this.#pieces.offer(piece)
    this.#feedHungry(now)
  }

  /**
   * A host joins or announces again; what it says it holds replaces what was known.
   * @param held ascending; what lies beyond the pieces known to exist is passed over
   */
  join(host: HostId, held: Iterable<number>, now: number): void {
    const before = this.#members.get(host)
    this.#remove(host)
    const member = newMember(host, this.#pieces.size, before)
    this.#members.set(host, member)
    for (const piece of held) {
      if (!this.#pieces.has(piece)) break
      this.#hold(member, piece)
    }
    this.#hungry.add(member)
    this.#feedHungry(now)
  }

  leave(host: HostId, now: number): void {
    if (this.#remove(host)) this.#feedHungry(now)
  }

  report(host: HostId, report: ConsumerReport, now: number): void {
    const member = this.#members.get(host)
    if (!member) return
    for (const { piece, source } of report.done) {
      this.#settle(member, piece, source)
      if (!avoids(member, source, now)) member.avoided.delete(source)
      if (this.#pieces.has(piece)) this.#hold(member, piece)
    }
    for (const piece of report.fromOrigin) if (this.#pieces.has(piece)) this.#hold(member, piece)
    for (const { piece, source } of report.released) {
      const isLate = member.outstanding.some(
        entry => entry.isLate && entry.piece === piece && entry.source === source,
      )
      // Given up because another source was faster.
      if (this.#settle(member, piece, source) && isLate)
        this.#avoid(member, source, { code: 'SOURCE_SLOW', now })
    }
    for (const failure of report.failed) this.#onFailure(member, failure, now)
    for (const piece of report.slow) {
      if (isAwaiting(member, piece) && !member.hedged.has(piece) && !member.held.has(piece))
        member.slow.add(piece)
      const late = member.outstanding.find(entry => entry.piece === piece && !entry.isLate)
      if (late) late.isLate = true
    }
    // Behind those who wait already: otherwise the first to come keeps every slot that it frees.
    this.#feedHungry(now)
    this.#serve(member, now)
  }

  /** Time passes: avoided sources may be asked again, starving consumers are looked at again. */
  tick(now: number): void {
    for (const member of this.#members.values()) this.#expireSlots(member, now)
    this.#feedHungry(now)
  }

  /** What was decided since the last call. */
  takeAssignments(): Assignment[] {
    const taken = this.#assignments
    this.#assignments = []
    return taken
  }

  #isSatisfied(member: Member): boolean {
    return this.#pieces.count !== null && member.held.count >= this.#pieces.count
  }

  #hold(member: Member, piece: number): void {
    member.slow.delete(piece)
    if (!member.held.add(piece)) return
    if (member.covered.add(piece)) this.#pieces.addCopy(piece)
    if (member.held.count === 1) this.#sources.push(member)
  }

  /** Ends an assignment, whatever became of it. Returns whether there was one. */
  #settle(member: Member, piece: number, source: HostId): boolean {
    const at = member.outstanding.findIndex(entry => entry.piece === piece && entry.source === source)
    if (at < 0) return false
    const [ended] = member.outstanding.splice(at, 1)
    this.#freeSlot(ended)
    const isHedged = member.hedged.delete(piece)
    if (!isAwaiting(member, piece)) {
      member.slow.delete(piece)
      if (!member.held.has(piece) && member.covered.delete(piece)) this.#pieces.removeCopy(piece)
    } else if (isHedged && !member.held.has(piece)) member.slow.add(piece)
    return true
  }

  #onFailure(member: Member, failure: { piece: number; source: HostId; code: ErrorCode }, now: number): void {
    const { piece, source, code } = failure
    if (!this.#settle(member, piece, source)) return
    const sourceMember = this.#members.get(source)
    if (isAccusation(code)) {
      member.accused.add(source)
      sourceMember?.accusers.add(member.host)
    } else if (isDenial(code) && sourceMember) {
      const denials = (member.denials.get(source) ?? 0) + 1
      member.denials.set(source, denials)
      if (denials <= DENIALS_MAX) this.#unhold(sourceMember, piece)
    }
    this.#avoid(member, source, { code, now })
  }

  /** A consumer does not ask a source that failed it, for a while that grows if it goes on failing. */
  #avoid(member: Member, source: HostId, { code, now }: { code: ErrorCode; now: number }): void {
    const isDenier = (member.denials.get(source) ?? 0) >= DENIALS_MAX
    avoid(member, source, { now, ...pauseAfter(code, { isSeed: source === this.#seed, isDenier }) })
  }

  #unhold(member: Member, piece: number): void {
    if (!member.held.delete(piece)) return
    if (!isAwaiting(member, piece) && member.covered.delete(piece)) this.#pieces.removeCopy(piece)
    if (member.held.count === 0) this.#sources.splice(this.#sources.indexOf(member), 1)
  }

  #remove(host: HostId): boolean {
    const member = this.#members.get(host)
    if (!member) return false
    this.#withdrawUntaken(host)
    for (const entry of member.outstanding) this.#freeSlot(entry)
    for (const piece of member.covered.members()) this.#pieces.removeCopy(piece)
    if (member.held.count > 0) this.#sources.splice(this.#sources.indexOf(member), 1)
    this.#hungry.delete(member)
    this.#members.delete(host)
    return true
  }

  #expireSlots(member: Member, now: number): void {
    for (const entry of member.outstanding) {
      if (now < entry.slotUntil) continue
      this.#freeSlot(entry)
      entry.isLate = true
    }
  }

  #freeSlot(entry: Member['outstanding'][number]): void {
    if (entry.slotUntil === Number.POSITIVE_INFINITY) return
    entry.slotUntil = Number.POSITIVE_INFINITY
    this.#hosts.free(entry.source)
  }

  /** What nobody has been told yet need not happen: a host that is gone is neither consumer nor source. */
  #withdrawUntaken(host: HostId): void {
    this.#assignments = this.#assignments.filter(({ consumer, piece, source }) => {
      if (consumer !== host && source !== host) return true
      const waiting = consumer === host ? undefined : this.#members.get(consumer)
      if (waiting && this.#settle(waiting, piece, source)) this.#hungry.add(waiting)
      return false
    })
  }

  /** Gives waiting consumers another chance, in the order of their waiting, until a few of them found nothing. */
  #feedHungry(now: number): void {
    let inVain = 0
    for (let left = this.#hungry.size; left > 0 && inVain < HUNGRY_SAMPLE; left--) {
      const member = this.#hungry.takeFirst()
      if (member && !this.#serve(member, now)) inVain++
    }
  }

  /** Fills the member's window as far as sources can be found. Returns whether there was one. */
  #serve(member: Member, now: number): boolean {
    const window = Math.max(this.#window, Math.ceil(LONE_WINDOW / this.#members.size))
    let isServed = false
    if (this.#isSatisfied(member)) return false
    while (onTimeCount(member) < window && member.outstanding.length < 2 * window) {
      const found = this.#pick(member, now)
      if (!found) {
        this.#hungry.add(member)
        return isServed
      }
      this.#assign(member, found, now)
      isServed = true
    }
    this.#hungry.delete(member)
    return isServed
  }

  #assign(member: Member, { piece, source }: { piece: number; source: HostId }, now: number): void {
    member.outstanding.push({ piece, source, isLate: false, slotUntil: now + SLOT_MS })
    if (member.slow.delete(piece)) member.hedged.add(piece)
    if (member.covered.add(piece)) this.#pieces.addCopy(piece)
    this.#hosts.occupy(source)
    this.#assignments.push({ consumer: member.host, piece, source })
  }

  /**
   * Piece and source for a consumer, or null. Peers come first; the seed injects pieces that no peer has or awaits, and serves
   * second copies only to a consumer that has nothing on its way in time, so that it is not the bottleneck that it could be.
   */
  #pick(member: Member, now: number): { piece: number; source: HostId } | null {
    const seedMayServe = this.#mayAsk(member, this.#seed, now)
    if (seedMayServe) {
      const fresh = this.#pieces.firstFresh()
      if (fresh >= 0) return { piece: fresh, source: this.#seed }
    }
    const fromPeer = isUnreliableWitness(member) ? null : this.#pickFromPeers(member, now)
    if (fromPeer) return fromPeer
    const isStarving = member.slow.size > 0 || onTimeCount(member) === 0
    if (!seedMayServe || !isStarving) return null
    const any = this.#pieces.rarestOffered(member.covered)
    if (any >= 0) return { piece: any, source: this.#seed }
    return this.#second(member, this.#seed, piece => this.#pieces.isOffered(piece))
  }

  /** No member takes more than its share of a source's slots, as long as there are others who could use them. */
  #mayAsk(member: Member, source: HostId, now: number): boolean {
    if (avoids(member, source, now) || !this.#hosts.hasFreeSlot(source)) return false
    // The seed is slow where many want something of it, and is often the only one.
    if (source !== this.#seed && isLateFrom(member, source)) return false
    const share = Math.max(SHARE_MIN, Math.ceil(this.#hosts.slotsOf(source) / this.#members.size))
    return member.outstanding.filter(entry => entry.source === source).length < share
  }

  #pickFromPeers(member: Member, now: number): { piece: number; source: HostId } | null {
    let best: { piece: number; source: HostId } | null = null
    let bestCopies = Number.POSITIVE_INFINITY
    let bestUtilisation = Number.POSITIVE_INFINITY
    for (const source of this.#sampleSources(member, now)) {
      const piece = this.#pieces.rarestHeld(source.held, member.covered)
      if (piece < 0) continue
      const copies = this.#pieces.copiesOf(piece)
      const utilisation = this.#hosts.utilisation(source.host)
      if (copies < bestCopies || (copies === bestCopies && utilisation < bestUtilisation)) {
        best = { piece, source: source.host }
        bestCopies = copies
        bestUtilisation = utilisation
      }
    }
    if (best || member.slow.size === 0) return best
    for (const source of this.#sampleSources(member, now)) {
      const second = this.#second(member, source.host, piece => source.held.has(piece))
      if (second) return second
    }
    return null
  }

  /** A bounded random sample of other members that have something, a free slot, and this member's trust. */
  *#sampleSources(member: Member, now: number): Generator<Member> {
    const count = this.#sources.length
    if (count === 0) return
    const start = pickIndex(this.#random, count)
    const looks = Math.min(count, SOURCE_SAMPLE * 4)
    let found = 0
    for (let i = 0; i < looks && found < SOURCE_SAMPLE; i++) {
      const at = count <= looks ? (start + i) % count : pickIndex(this.#random, count)
      const source = this.#sources[at]
      if (source === member || isIsolated(source) || !this.#mayAsk(member, source.host, now)) continue
      found++
      yield source
    }
  }

  /** A second source for a piece that is late from its first. */
  #second(
    member: Member,
    source: HostId,
    offers: (piece: number) => boolean,
  ): { piece: number; source: HostId } | null {
    for (const piece of member.slow) {
      const askedThere = member.outstanding.some(entry => entry.piece === piece && entry.source === source)
      if (!askedThere && offers(piece)) return { piece, source }
    }
    return null
  }

  /** Only the seed makes a task grow. */
  #growTo(size: number): void {
    if (!this.#pieces.growTo(size)) return
    for (const member of this.#members.values()) {
      member.held.resize(this.#pieces.size)
      member.covered.resize(this.#pieces.size)
    }
  }
}
