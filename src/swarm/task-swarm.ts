import type { ErrorCode } from '../core/error.ts'
import type { Random } from '../core/random.ts'
import { removeAt } from '../core/remove-from.ts'
import { isAccusation, isDenial, pauseAfter } from './avoidance.ts'
import type { HostId, Hosts } from './hosts.ts'
import {
  isAwaiting,
  isLateOf,
  isSource,
  type Member,
  markLate,
  newMember,
  type Outstanding,
  type Reader,
  type Seat,
} from './member.ts'
import { OccupiedSlots } from './occupied-slots.ts'
import { PieceTable } from './piece-table.ts'
import { Pipeline } from './pipeline.ts'
import type { Policy, SwarmView } from './policy.ts'
import { Quota } from './quota.ts'
import { rarestFirst } from './rarest-first.ts'
import { pickSecond } from './second-source.ts'
import { SlotTime } from './slot-time.ts'
import { SourceIndex } from './source-index.ts'
import { accuse, avoid, countDenial, denialsOf, forgive } from './troubles.ts'
import { WaitingLine } from './waiting-line.ts'

/**
 * The swarm of one generation of one task: who holds which piece, who shall fetch which piece from whom. Synchronous and free of I/O:
 * events go in with `now`, assignments come out of `takeAssignments`. A decision costs a bounded number of sampled sources times a scan
 * of one bitmap, however many members there are.
 */

export type Assignment = { readonly consumer: HostId; readonly piece: number; readonly source: HostId }

export type ConsumerReport = {
  readonly done: readonly { piece: number; source: HostId; elapsedMs?: number }[]
  readonly failed: readonly { piece: number; source: HostId; code: ErrorCode }[]
  readonly released: readonly { piece: number; source: HostId }[]
  readonly slow: readonly number[]
  /** Pieces that the consumer holds without having been assigned them, such as those from the origin. */
  readonly fromOrigin: readonly number[]
  /** Somebody reads from elsewhere than before. */
  readonly reader?: Reader | null
}

type SwarmOptions = {
  readonly hosts: Hosts
  readonly seed: HostId
  readonly random: Random
  /** Pieces a consumer may have on their way at once, not counting late ones and those in line. */
  readonly window: number
  /** Of a piece, in bytes. */
  readonly pieceLength: number
  /** `rarestFirst` unless given. */
  readonly policy?: Policy
}

/** Pieces that one member can make us believe a source does not hold; a source that lacks more of what it claims is a liar, or the member. */
const DENIALS_MAX = 4

export class TaskSwarm {
  readonly #hosts: Hosts
  readonly #seed: HostId
  readonly #pieceLength: number
  readonly #pipeline = new Pipeline()
  readonly #slotTime = new SlotTime()
  readonly #members = new Map<HostId, Member>()
  readonly #sources = new SourceIndex()
  readonly #waiting = new WaitingLine(({ host }) =>
    this.#slotTime.isUsual(this.#hosts.receivingMs(host, this.#pieceLength)),
  )
  readonly #pieces: PieceTable
  readonly #policy: Policy
  readonly #quota: Quota
  readonly #view: SwarmView
  readonly #occupied = new OccupiedSlots()
  #assignments: Assignment[] = []

  constructor(options: SwarmOptions, pieceCount: number | null) {
    this.#hosts = options.hosts
    this.#seed = options.seed
    this.#pieceLength = options.pieceLength
    this.#pieces = new PieceTable(pieceCount, options.random)
    this.#policy = options.policy ?? rarestFirst
    this.#quota = new Quota({
      ...options,
      hasLines: this.#policy.pickNext !== undefined,
      members: this.#members,
      pieces: this.#pieces,
      waiting: this.#waiting,
      pipeline: this.#pipeline,
    })
    this.#view = {
      hosts: options.hosts,
      seed: options.seed,
      random: options.random,
      pieces: this.#pieces,
      sources: this.#sources,
      memberOf: host => this.#members.get(host),
      quota: this.#quota,
    }
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

  get hasConsumers(): boolean {
    return !this.consumers().next().done
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
      if (this.#isSatisfied(member)) this.#waiting.delete(member)
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
  join(host: HostId, held: Iterable<number>, now: number, seat: Seat = {}): void {
    const before = this.#members.get(host)
    this.#remove(host)
    const member = newMember({ host, ...seat }, this.#pieces.size, before)
    this.#members.set(host, member)
    this.#sources.of(member.zone).members++
    for (const piece of held) {
      if (!this.#pieces.has(piece)) break
      this.#hold(member, piece)
    }
    this.#await(member, now)
    this.#feedHungry(now)
  }

  leave(host: HostId, now: number): void {
    if (this.#remove(host)) this.#feedHungry(now)
  }

  report(host: HostId, report: ConsumerReport, now: number): void {
    const member = this.#members.get(host)
    if (!member) return
    if (report.reader) member.reader = report.reader
    for (const { piece, source, elapsedMs } of report.done) {
      if (this.#settle(member, piece, source)) this.#acknowledge(member, source, elapsedMs)
      forgive(member, source, now)
      if (this.#pieces.has(piece)) this.#hold(member, piece)
    }
    for (const piece of report.fromOrigin) if (this.#pieces.has(piece)) this.#hold(member, piece)
    for (const { piece, source } of report.released) {
      const isLate = isLateOf(member, piece, source)
      if (this.#settle(member, piece, source) && isLate)
        this.#avoid(member, source, { code: 'SOURCE_SLOW', now })
    }
    for (const failure of report.failed) this.#onFailure(member, failure, now)
    for (const piece of report.slow) {
      if (isAwaiting(member, piece)) this.#markSlow(member, piece)
      markLate(member, piece)
    }
    // Behind those who wait already: otherwise the first to come keeps every slot that it frees.
    this.#await(member, now)
    this.#feedHungry(now)
  }

  /** Time passes: avoided sources may be asked again, starving consumers are looked at again. */
  tick(now: number): void {
    for (const { member, entry } of this.#occupied.allExpired(now)) this.#expireSlot(member, entry, now)
    // Slots of a source may have been freed by another task.
    const { all } = this.#sources
    for (let i = 0; i < all.size; i++) {
      if (this.#hosts.hasFreeSlot(all.at(i).host)) this.#sources.noticeFree(all.at(i))
    }
    this.#feedHungry(now)
  }

  /** What was decided since the last call. */
  takeAssignments(): Assignment[] {
    return this.#assignments.splice(0)
  }

  /** The piece may come from a second source, unless it does already. */
  #markSlow(member: Member, piece: number): void {
    if (!member.hedged.has(piece) && !member.held.has(piece)) member.slow.add(piece)
  }

  /** A right piece has come. */
  #acknowledge(member: Member, source: HostId, elapsedMs: number | undefined): void {
    const from = this.#members.get(source)
    if (from) from.servedCount++
    member.receivedCount++
    if (elapsedMs === undefined) return
    this.#slotTime.record(elapsedMs)
    this.#pipeline.record(elapsedMs, this.#hosts.roundTripMsOf(member.host))
    this.#hosts.record(source, member.host, { bytes: this.#pieceLength, elapsedMs })
  }

  #isSatisfied(member: Member): boolean {
    return this.#pieces.count !== null && member.held.count >= this.#pieces.count
  }

  #hold(member: Member, piece: number): void {
    member.slow.delete(piece)
    if (!member.held.add(piece)) return
    this.#cover(member, piece)
    if (this.#pieces.copiesOf(piece) === 1) member.firstHeld = piece
    if (member.held.count === 1 && isSource(member)) this.#sources.add(member)
  }

  /** Ends an assignment, whatever became of it. Returns whether there was one. */
  #settle(member: Member, piece: number, source: HostId): boolean {
    const at = member.outstanding.findIndex(entry => entry.piece === piece && entry.source === source)
    if (at < 0) return false
    const ended = member.outstanding[at]
    removeAt(member.outstanding, at)
    this.#freeSlot(ended)
    this.#sources.countTransfer(ended.fromZone, member.zone, -1)
    const isHedged = member.hedged.delete(piece)
    if (!isAwaiting(member, piece)) {
      member.slow.delete(piece)
      if (!member.held.has(piece)) this.#uncover(member, piece)
    } else if (isHedged && !member.held.has(piece)) member.slow.add(piece)
    return true
  }

  #onFailure(member: Member, failure: { piece: number; source: HostId; code: ErrorCode }, now: number): void {
    const { piece, source, code } = failure
    if (!this.#settle(member, piece, source)) return
    const sourceMember = this.#members.get(source)
    if (isAccusation(code)) {
      accuse(member, { host: source, member: sourceMember })
    } else if (isDenial(code) && sourceMember) {
      if (countDenial(member, source) <= DENIALS_MAX) this.#unhold(sourceMember, piece)
    }
    this.#avoid(member, source, { code, now })
  }

  /** A consumer does not ask a source that failed it, for a while that grows if it goes on failing. */
  #avoid(member: Member, source: HostId, { code, now }: { code: ErrorCode; now: number }): void {
    const isDenier = denialsOf(member, source) >= DENIALS_MAX
    avoid(member, source, { now, ...pauseAfter(code, { isSeed: source === this.#seed, isDenier }) })
  }

  #unhold(member: Member, piece: number): void {
    if (!member.held.delete(piece)) return
    if (!isAwaiting(member, piece)) this.#uncover(member, piece)
    if (member.held.count === 0) this.#sources.delete(member)
  }

  #remove(host: HostId): boolean {
    const member = this.#members.get(host)
    if (!member) return false
    this.#withdrawUntaken(host)
    for (const entry of member.outstanding) {
      this.#freeSlot(entry)
      this.#sources.countTransfer(entry.fromZone, member.zone, -1)
    }
    for (const piece of [...member.covered.members()]) this.#uncover(member, piece)
    if (member.held.count > 0) this.#sources.delete(member)
    this.#waiting.delete(member)
    this.#members.delete(host)
    this.#sources.of(member.zone).members--
    return true
  }

  /** Where it is known how long it should have taken, the consumer need not wait for it either. */
  #expireSlot(member: Member, entry: Outstanding, now: number): void {
    this.#freeSlot(entry)
    this.#slotTime.expire()
    entry.isLate = true
    if (entry.expectedMs > 0) {
      this.#markSlow(member, entry.piece)
      this.#await(member, now)
    }
  }

  #freeSlot(entry: Outstanding): void {
    if (!this.#occupied.free(entry)) return
    this.#hosts.free(entry.source, entry.shares.atSource)
    const source = this.#members.get(entry.source)
    if (source) this.#sources.noticeFree(source)
  }

  /** What nobody has been told yet need not happen: a host that is gone is neither consumer nor source. */
  #withdrawUntaken(host: HostId): void {
    this.#assignments = this.#assignments.filter(({ consumer, piece, source }) => {
      if (consumer !== host && source !== host) return true
      const waiting = consumer === host ? undefined : this.#members.get(consumer)
      if (waiting && this.#settle(waiting, piece, source)) this.#await(waiting, Number.POSITIVE_INFINITY)
      return false
    })
  }

  #feedHungry(now: number): void {
    for (let late = this.#occupied.firstExpired(now); late; late = this.#occupied.firstExpired(now)) {
      this.#expireSlot(late.member, late.entry, now)
    }
    // The seed sends each piece once: to fast members first, as far as they are known.
    const isSeedWanted = () => this.#quota.isSeedFree && this.#pieces.hasFresh
    this.#waiting.feedFast(member => this.#serve(member, now, true), isSeedWanted)
    const mayServe = () => this.#sources.isAnyFree || this.#quota.isSeedFree
    this.#waiting.feed(member => this.#serve(member, now), mayServe)
  }

  /** Assigns one piece if one can be found. The member waits on for as long as it has room for more. */
  #serve(member: Member, now: number, isFreshOnly = false): boolean {
    const isFull = this.#quota.isFull(member)
    if (!this.#hasRoom(member) || (isFreshOnly && isFull)) return false
    const pick = isFreshOnly ? this.#policy.pickFresh : this.#policy.pick
    const found = isFull
      ? (this.#policy.pickNext?.(this.#view, member, now) ?? null)
      : (pick?.(this.#view, member, now) ?? (isFreshOnly ? null : pickSecond(this.#view, member, now)))
    if (!found) {
      this.#waiting.add(member, now)
      return false
    }
    this.#assign(member, found, now)
    this.#await(member, Number.POSITIVE_INFINITY)
    return true
  }

  #hasRoom(member: Member): boolean {
    return !this.#isSatisfied(member) && this.#quota.hasRoom(member)
  }

  /** Puts the member in line. */
  #await(member: Member, since: number): void {
    if (this.#hasRoom(member)) this.#waiting.add(member, since)
    else this.#waiting.delete(member)
  }

  #assign(member: Member, { piece, source }: { piece: number; source: HostId }, now: number): void {
    const shares = this.#hosts.sharesOf(source, member.host)
    const fromZone = this.#members.get(source)?.zone ?? null
    this.#sources.countTransfer(fromZone, member.zone, 1)
    const expectedMs = this.#hosts.expectedMs(source, member.host, this.#pieceLength)
    const slotUntil = now + this.#slotTime.msFor(expectedMs)
    const entry = { piece, source, shares, fromZone, expectedMs, isLate: false, slotUntil }
    member.outstanding.push(entry)
    this.#occupied.add(member, entry)
    if (member.slow.delete(piece)) member.hedged.add(piece)
    this.#cover(member, piece)
    this.#hosts.occupy(source, shares.atSource)
    this.#assignments.push({ consumer: member.host, piece, source })
  }

  /** The member holds the piece or will. Copies that nobody is given do not count. */
  #cover(member: Member, piece: number): void {
    if (member.covered.add(piece) && !member.isSeedOnly) this.#pieces.addCopy(piece, member.zone)
  }

  #uncover(member: Member, piece: number): void {
    if (member.covered.delete(piece) && !member.isSeedOnly) this.#pieces.removeCopy(piece, member.zone)
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
