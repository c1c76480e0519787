import { assert } from '../core/assert.ts'
import { SlotSearch } from './slot-search.ts'

/** A small number that stands for a host as long as the supernode knows it. */
export type HostId = number

/** What one transfer takes of the source's and of the consumer's link, 1 being all that either can use at once. */
export type Shares = { readonly atSource: number; readonly atConsumer: number }

type Host = {
  /** How many there are, or the search for how many there should be. */
  readonly upload: { readonly slots: number }
  /** There and back on the control channel. */
  roundTripMs: number
  load: number
  /** Assignments under way, whatever share each of them takes. */
  count: number
  /** Bytes per millisecond of the fastest piece lately; 0 is unknown. */
  up: number
  down: number
}

/** A rate that is not seen again is forgotten at this rate per transfer. */
const FADING = 0.98
/** A link that is more than half filled by one transfer counts as filled: measurements are not better than that. */
const WHOLE_FROM = 0.5
const SHARE_MIN = 0.1
/** However small their shares: nobody is told to send more at once than this many pieces per slot. */
const COUNT_PER_SLOT = 4
/** Reports come from outside: nothing is taken to be faster than this. */
const ELAPSED_MS_MIN = 0.05

const WHOLE: Shares = { atSource: 1, atConsumer: 1 }

/**
 * Upload slots over all tasks: how many pieces each host has been asked to send at this moment. A transfer that the other side's link is
 * too slow for takes only a share of a slot, so that slow hosts do not keep fast ones busy.
 */
export class Hosts {
  /** By number. Every decision looks at dozens of hosts, and in a list that costs less than in a map. Of who went, an empty place stays. */
  readonly #hosts: (Host | undefined)[] = []

  /** @param slots null lets them follow from how fast pieces come from the host */
  add(host: HostId, slots: number | null, roundTripMs = 0): void {
    assert(slots === null || slots >= 1, 'a host has at least one upload slot')
    const upload = slots === null ? new SlotSearch() : { slots }
    this.#hosts[host] = { upload, roundTripMs, load: 0, count: 0, up: 0, down: 0 }
  }

  setRoundTrip(host: HostId, roundTripMs: number): void {
    const entry = this.#hosts[host]
    if (entry) entry.roundTripMs = roundTripMs
  }

  remove(host: HostId): void {
    delete this.#hosts[host]
  }

  /** @param depth pieces that may wait in line behind those that are sent */
  hasFreeSlot(host: HostId, depth = 0): boolean {
    const entry = this.#hosts[host]
    if (entry === undefined) return false
    const slots = entry.upload.slots + depth
    return entry.load < slots && entry.count < COUNT_PER_SLOT * slots
  }

  slotsOf(host: HostId): number {
    return this.#hosts[host]?.upload.slots ?? 0
  }

  roundTripMsOf(host: HostId): number {
    return this.#hosts[host]?.roundTripMs ?? 0
  }

  /** Share of the slots in use: 0 idle, 1 full. A host that is gone counts as full. */
  utilisation(host: HostId): number {
    const entry = this.#hosts[host]
    return entry === undefined ? 1 : entry.load / entry.upload.slots
  }

  /** A piece has gone from `source` to `consumer`, and its slot is free again. */
  record(source: HostId, consumer: HostId, transfer: { bytes: number; elapsedMs: number }): void {
    const rate = transfer.bytes / Math.max(ELAPSED_MS_MIN, transfer.elapsedMs)
    const [from, to] = [this.#hosts[source], this.#hosts[consumer]]
    if (from?.upload instanceof SlotSearch) from.upload.record(rate, to?.down ?? 0, from.load + 1)
    if (from) from.up = Math.max(rate, from.up * FADING)
    if (to) to.down = Math.max(rate, to.down * FADING)
  }

  sharesOf(source: HostId, consumer: HostId): Shares {
    const up = this.#upOf(source)
    const down = this.#hosts[consumer]?.down ?? 0
    if (up === 0 || down === 0) return WHOLE
    return { atSource: shareOf(down / up), atConsumer: shareOf(up / down) }
  }

  /** How long so much takes from one to the other; 0 where one of the two links is not known. */
  expectedMs(source: HostId, consumer: HostId, bytes: number): number {
    const rate = Math.min(this.#upOf(source), this.#hosts[consumer]?.down ?? 0)
    return rate === 0 ? 0 : bytes / rate
  }

  /** How long it needs to receive so much; 0 is unknown. */
  receivingMs(host: HostId, bytes: number): number {
    const down = this.#hosts[host]?.down ?? 0
    return down === 0 ? 0 : bytes / down
  }

  /** Who has not sent anything yet is taken to send as fast as it receives. */
  #upOf(host: HostId): number {
    const entry = this.#hosts[host]
    return entry?.up || entry?.down || 0
  }

  occupy(host: HostId, share = 1): void {
    const entry = this.#hosts[host]
    if (!entry) return
    entry.load += share
    entry.count++
  }

  free(host: HostId, share = 1): void {
    const entry = this.#hosts[host]
    if (!entry) return
    assert(entry.count > 0, 'only an occupied slot is freed')
    entry.count--
    entry.load = entry.count === 0 ? 0 : entry.load - share
  }
}

function shareOf(ratio: number): number {
  return ratio > WHOLE_FROM ? 1 : Math.max(SHARE_MIN, ratio)
}
