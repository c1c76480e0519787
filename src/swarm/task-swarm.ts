import { assert } from '../core/assert.ts'
import type { ErrorCode } from '../core/error.ts'
import { PIECE_COUNT_MAX } from '../core/piece-layout.ts'
import type { Random } from '../core/random.ts'
import { pickIndex } from '../core/random.ts'
import type { HostId, Hosts } from './hosts.ts'
import { avoids, isIsolated, isUnreliableWitness, type Member, newMember } from './member.ts'

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
  /** Pieces that the consumer fetched from the origin by itself. */
  readonly fromOrigin: readonly number[]
}

export type SwarmOptions = {
  readonly hosts: Hosts
  readonly seed: HostId
  readonly random: Random
  /** Pieces a consumer may have on their way at once. */
  readonly window: number
}

/** Sources looked at per decision. */
const SOURCE_SAMPLE = 8
/** Waiting consumers looked at per event. */
const HUNGRY_SAMPLE = 16
/** Pieces that a member may always ask of one source at once: one is sent while the next is asked for. */
const SHARE_MIN = 2
/** A member without company may have more on its way: there is nobody to share with soon. */
const LONE_WINDOW = 8
const AVOID_GONE_MS = 5_000
const AVOID_BUSY_MS = 200
const AVOID_FOREVER = Number.POSITIVE_INFINITY

export class TaskSwarm {
  readonly #hosts: Hosts
  readonly #seed: HostId
  readonly #random: Random
  readonly #window: number
  readonly #members = new Map<HostId, Member>()
  /** Members that hold at least one piece, in no order. */
  readonly #sources: Member[] = []
  /** Consumers with room in their window for which nothing was found, longest waiting first. */
  readonly #hungry = new Set<Member>()
  #size: number
  /** Final number of pieces, null while the origin has not ended. */
  #pieceCount: number | null
  /** Which pieces the seed offers, as 0/1. */
  #seedHolds: Uint8Array
  /** Per piece: members (without the seed) that hold it or are fetching it. */
  #copies: Uint32Array
  #assignments: Assignment[] = []

  constructor(options: SwarmOptions, pieceCount: number | null) {
    this.#hosts = options.hosts
    this.#seed = options.seed
    this.#random = options.random
    this.#window = options.window
    this.#pieceCount = pieceCount
    this.#size = pieceCount ?? 64
    this.#seedHolds = new Uint8Array(this.#size)
    this.#copies = new Uint32Array(this.#size)
  }

  get memberCount(): number {
    return this.#members.size
  }

  get pieceCount(): number | null {
    return this.#pieceCount
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
    this.#pieceCount = pieceCount
    for (const member of this.#hungry) if (this.#isSatisfied(member)) this.#hungry.delete(member)
  }

  /** The seed holds one more verified piece. */
  offerSeedPiece(piece: number, now: number): void {
    this.#growTo(piece + 1)
    this.#seedHolds[piece] = 1
    this.#feedHungry(now)
  }

  /** A host joins or announces again; what it says it holds replaces what was known. */
  join(host: HostId, held: Iterable<number>, now: number): void {
    this.#remove(host)
    const member = newMember(host, this.#size)
    this.#members.set(host, member)
    for (const piece of held) {
      if (this.#pieceCount !== null && piece >= this.#pieceCount) break
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
      if (this.#isPiece(piece)) this.#hold(member, piece)
    }
    for (const piece of report.fromOrigin) if (this.#isPiece(piece)) this.#hold(member, piece)
    for (const { piece, source } of report.released) this.#settle(member, piece, source)
    for (const failure of report.failed) this.#onFailure(member, failure, now)
    for (const piece of report.slow) if (this.#isPiece(piece)) member.slow.add(piece)
    // Behind those who wait already: otherwise the first to come keeps every slot that it frees.
    this.#feedHungry(now)
    this.#serve(member, now)
  }

  /** Time passes: avoided sources may be asked again, starving consumers are looked at again. */
  tick(now: number): void {
    this.#feedHungry(now)
  }

  /** What was decided since the last call. */
  takeAssignments(): Assignment[] {
    const taken = this.#assignments
    this.#assignments = []
    return taken
  }

  #isSatisfied(member: Member): boolean {
    return this.#pieceCount !== null && member.held.count >= this.#pieceCount
  }

  #isPiece(piece: number): boolean {
    return piece < (this.#pieceCount ?? this.#size)
  }

  #hold(member: Member, piece: number): void {
    this.#growTo(piece + 1)
    member.slow.delete(piece)
    if (!member.held.add(piece)) return
    if (member.covered.add(piece)) this.#copies[piece]++
    if (member.held.count === 1) this.#sources.push(member)
  }

  /** Ends an assignment, whatever became of it. Returns whether there was one. */
  #settle(member: Member, piece: number, source: HostId): boolean {
    const at = member.outstanding.findIndex(entry => entry.piece === piece && entry.source === source)
    if (at < 0) return false
    member.outstanding.splice(at, 1)
    this.#hosts.free(source)
    const isStillComing = member.outstanding.some(entry => entry.piece === piece)
    if (!isStillComing && !member.held.has(piece) && member.covered.delete(piece)) this.#copies[piece]--
    return true
  }

  #onFailure(member: Member, failure: { piece: number; source: HostId; code: ErrorCode }, now: number): void {
    const { piece, source, code } = failure
    if (!this.#settle(member, piece, source)) return
    const sourceMember = this.#members.get(source)
    if (code === 'DIGEST_MISMATCH' || code === 'PROTOCOL_INVALID') {
      member.accused.add(source)
      if (source !== this.#seed) member.avoided.set(source, AVOID_FOREVER)
      sourceMember?.accusers.add(member.host)
    } else if (code === 'PIECE_NOT_HELD' || code === 'TASK_UNKNOWN') {
      if (sourceMember) this.#unhold(sourceMember, piece)
      member.avoided.set(source, now + AVOID_BUSY_MS)
    } else {
      member.avoided.set(source, now + (code === 'SOURCE_BUSY' ? AVOID_BUSY_MS : AVOID_GONE_MS))
    }
    if (source === this.#seed) member.avoided.set(source, now + AVOID_BUSY_MS)
  }

  #unhold(member: Member, piece: number): void {
    if (!member.held.delete(piece)) return
    if (member.covered.delete(piece)) this.#copies[piece]--
    if (member.held.count === 0) this.#sources.splice(this.#sources.indexOf(member), 1)
  }

  #remove(host: HostId): boolean {
    const member = this.#members.get(host)
    if (!member) return false
    for (const { source } of member.outstanding) this.#hosts.free(source)
    for (const piece of member.covered.members()) this.#copies[piece]--
    if (member.held.count > 0) this.#sources.splice(this.#sources.indexOf(member), 1)
    this.#hungry.delete(member)
    this.#members.delete(host)
    return true
  }

  /** Gives waiting consumers another chance, in the order of their waiting. */
  #feedHungry(now: number): void {
    let looked = 0
    for (const member of [...this.#hungry]) {
      if (looked++ >= HUNGRY_SAMPLE) break
      this.#hungry.delete(member)
      this.#serve(member, now)
    }
  }

  /** Fills the member's window as far as sources can be found. */
  #serve(member: Member, now: number): void {
    const window = Math.max(this.#window, Math.ceil(LONE_WINDOW / this.#members.size))
    while (member.outstanding.length < window) {
      const found = this.#pick(member, now)
      if (!found) {
        if (!this.#isSatisfied(member)) this.#hungry.add(member)
        return
      }
      this.#assign(member, found.piece, found.source)
    }
    this.#hungry.delete(member)
  }

  #assign(member: Member, piece: number, source: HostId): void {
    member.outstanding.push({ piece, source })
    member.slow.delete(piece)
    if (member.covered.add(piece)) this.#copies[piece]++
    this.#hosts.occupy(source)
    this.#assignments.push({ consumer: member.host, piece, source })
  }

  /**
   * Piece and source for a consumer, or null. Peers come first; the seed injects pieces that no peer has or awaits, and serves
   * second copies only to a consumer that has nothing on its way, so that it is not the bottleneck that it could be.
   */
  #pick(member: Member, now: number): { piece: number; source: HostId } | null {
    const seedMayServe = this.#mayAsk(member, this.#seed, now)
    if (seedMayServe) {
      const fresh = this.#rarest(member, this.#seedHolds, 0)
      if (fresh >= 0) return { piece: fresh, source: this.#seed }
    }
    const fromPeer = isUnreliableWitness(member) ? null : this.#pickFromPeers(member, now)
    if (fromPeer) return fromPeer
    const isStarving = member.outstanding.length === 0 || member.slow.size > 0
    if (!seedMayServe || !isStarving) return null
    const any = this.#rarest(member, this.#seedHolds, Number.POSITIVE_INFINITY)
    if (any >= 0) return { piece: any, source: this.#seed }
    return this.#second(member, this.#seed, piece => this.#seedHolds[piece] === 1)
  }

  /** No member takes more than its share of a source's slots, as long as there are others who could use them. */
  #mayAsk(member: Member, source: HostId, now: number): boolean {
    if (avoids(member, source, now) || !this.#hosts.hasFreeSlot(source)) return false
    const share = Math.max(SHARE_MIN, Math.ceil(this.#hosts.slotsOf(source) / this.#members.size))
    return member.outstanding.filter(entry => entry.source === source).length < share
  }

  #pickFromPeers(member: Member, now: number): { piece: number; source: HostId } | null {
    let best: { piece: number; source: HostId } | null = null
    let bestCopies = Number.POSITIVE_INFINITY
    let bestUtilisation = Number.POSITIVE_INFINITY
    for (const source of this.#sampleSources(member, now)) {
      const piece = this.#rarestHeldBy(member, source)
      if (piece < 0) continue
      const copies = this.#copies[piece]
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

  /** The rarest piece of `offer` (0/1 per piece) that the member lacks, with at most `maxCopies` copies; -1 if there is none. */
  #rarest(member: Member, offer: Uint8Array, maxCopies: number): number {
    const end = this.#pieceCount ?? this.#size
    const offset = maxCopies === 0 ? 0 : pickIndex(this.#random, Math.max(1, end))
    let best = -1
    let bestCopies = Number.POSITIVE_INFINITY
    for (let i = 0; i < end; i++) {
      const piece = (i + offset) % end
      if (offer[piece] === 0 || this.#copies[piece] >= bestCopies || member.covered.has(piece)) continue
      best = piece
      bestCopies = this.#copies[piece]
      if (bestCopies === 0) break
    }
    return best >= 0 && bestCopies <= maxCopies ? best : -1
  }

  #rarestHeldBy(member: Member, source: Member): number {
    const { held } = source
    const offset = pickIndex(this.#random, Math.max(1, held.size))
    let best = -1
    let bestCopies = Number.POSITIVE_INFINITY
    for (const [from, to] of [
      [offset, held.size],
      [0, offset],
    ]) {
      for (let piece = held.firstHeld(from); piece < to; piece = held.firstHeld(piece + 1)) {
        if (this.#copies[piece] >= bestCopies || member.covered.has(piece)) continue
        best = piece
        bestCopies = this.#copies[piece]
      }
    }
    return best
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

  #growTo(size: number): void {
    assert(size <= PIECE_COUNT_MAX, 'piece count is within its limit')
    if (size <= this.#size) return
    this.#size = Math.max(size, Math.min(this.#size * 2, PIECE_COUNT_MAX))
    const seedHolds = new Uint8Array(this.#size)
    seedHolds.set(this.#seedHolds)
    this.#seedHolds = seedHolds
    const copies = new Uint32Array(this.#size)
    copies.set(this.#copies)
    this.#copies = copies
    for (const member of this.#members.values()) {
      member.held.resize(this.#size)
      member.covered.resize(this.#size)
    }
  }
}
