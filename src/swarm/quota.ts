import type { HostId, Hosts } from './hosts.ts'
import { OUTSTANDING_MAX, WINDOW_MAX } from './limits.ts'
import { awaitedFrom, isLateFrom, type Member, onTimeLoad } from './member.ts'
import type { PieceTable } from './piece-table.ts'
import type { Pipeline } from './pipeline.ts'
import { avoids, isUnreliableConsumer } from './troubles.ts'
import type { WaitingLine } from './waiting-line.ts'

type QuotaOptions = {
  readonly hosts: Hosts
  readonly seed: HostId
  /** Pieces a consumer near by may have on their way at once, not counting late ones and those in line. */
  readonly window: number
  readonly hasLines: boolean
  readonly members: ReadonlyMap<HostId, Member>
  readonly pieces: PieceTable
  readonly waiting: WaitingLine
  readonly pipeline: Pipeline
}

/** Pieces that a member may always ask of one source at once: one is sent while the next is asked for. */
const SHARE_MIN = 2
/** Beyond the seed's slots, for who is alone: even a seed with one slot sends the next piece while the last is stored. */
const ALONE_AHEAD = 1

/** How much may be under way at once, to a consumer and from a source. */
export class Quota {
  readonly #options: QuotaOptions

  constructor(options: QuotaOptions) {
    this.#options = options
  }

  /** Whether the member may have one more piece on its way, or in line. */
  hasRoom(member: Member): boolean {
    const room = this.#windowOf(member) + this.#lineFor(member)
    return (
      onTimeLoad(member) < room && member.outstanding.length < OUTSTANDING_MAX * Math.max(room, WINDOW_MAX)
    )
  }

  /** Whether as much is on its way to the member as its window allows, so that more can only be in line. */
  isFull(member: Member): boolean {
    return onTimeLoad(member) >= this.#windowOf(member)
  }

  hasFreeSlot(source: HostId): boolean {
    const { hosts } = this.#options
    return hosts.hasFreeSlot(source) || hosts.hasFreeSlot(source, this.#transitAt(source))
  }

  /** Whether the seed could be asked by anybody. */
  get isSeedFree(): boolean {
    const { hosts, members, seed } = this.#options
    return hosts.hasFreeSlot(seed, members.size === 1 ? ALONE_AHEAD : 0)
  }

  /** No member takes more than its share of a source's slots, as long as there are others who could use them. */
  mayAsk(member: Member, source: HostId, now: number): boolean {
    const { hosts, members, seed } = this.#options
    const ahead = source === seed && this.#isAlone(member) ? ALONE_AHEAD : this.#transitAt(source)
    if (avoids(member, source, now) || !hosts.hasFreeSlot(source, ahead)) return false
    // The seed is slow where many want something of it, and is often the only one.
    if (source !== seed && isLateFrom(member, source)) return false
    const fair = Math.ceil(hosts.slotsOf(source) / members.size)
    return awaitedFrom(member, source) < Math.max(SHARE_MIN, 1 + ahead, fair)
  }

  /** The same for one more piece in line at a source that is sending to the member. */
  mayQueue(member: Member, source: HostId, now: number): boolean {
    if (avoids(member, source, now) || isLateFrom(member, source) || isUnreliableConsumer(member))
      return false
    const depth = this.#transitAt(source) + this.#lineFor(member)
    return awaitedFrom(member, source) <= depth && this.#options.hosts.hasFreeSlot(source, depth)
  }

  #windowOf(member: Member): number {
    const { hosts, pipeline, window } = this.#options
    if (this.#isAlone(member)) return Math.max(window, WINDOW_MAX)
    return Math.max(window, pipeline.window(hosts.roundTripMsOf(member.host)))
  }

  /** Who is alone at the beginning may be the first of thousands, for whom the seed must have slots left. */
  #isAlone(member: Member): boolean {
    return this.#options.members.size === 1 && member.held.count > 0
  }

  /** Pieces that may be in line for the member. Nothing is, as long as others have nothing on their way at all. */
  #lineFor(member: Member): number {
    const { hasLines, hosts, members, pieces, pipeline, waiting } = this.#options
    if (!hasLines || waiting.isAnybodyStarving) return 0
    const lacking = Math.max(0, pieces.copiedCount - member.covered.count)
    const swarm = { members: members.size, pieces: pieces.offeredCount, lacking }
    return pipeline.line(hosts.roundTripMsOf(member.host), swarm)
  }

  /** Pieces asked of a peer beyond its slots: they are on their way, and take nothing of its link. The seed has as many slots as it needs. */
  #transitAt(source: HostId): number {
    const { hosts, pipeline, seed } = this.#options
    return source === seed ? 0 : pipeline.window(hosts.roundTripMsOf(source)) - 1
  }
}
