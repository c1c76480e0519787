import { removeFrom } from '../src/core/remove-from.ts'
import type { EventQueue } from './event-queue.ts'

/**
 * Bytes in transit as fluid flows. A flow crosses links, each link has a capacity, and the rates are max-min fair: no flow could be
 * faster without making one slower that is not faster than it. Rates follow every start and end by passing on what changed from link to
 * link, to within a hundredth; so the cost of an event does not grow with the network.
 */

export type Link = {
  /** Bytes per second. */
  capacity: number
  readonly flows: Flow[]
  /** Waits for its rates to be worked out anew. */
  isDirty: boolean
  /** Bytes carried. */
  carried: number
}

export type Flow = {
  readonly links: readonly Link[]
  /** What each link would grant it. */
  readonly offers: number[]
  readonly bytes: number
  left: number
  rate: number
  /** When `left` was true. */
  at: number
  dueAt: number
  onDone: (() => void) | null
  /** Looks whether it is done. */
  readonly wake: () => void
}

const TOLERANCE = 0.01
/** Links looked at per event; what has not settled by then does so at the next event. */
const LOOKS_MAX = 400
/** Bytes that count as none. */
const NOTHING = 1e-3

export function newLink(capacity: number): Link {
  return { capacity, flows: [], isDirty: false, carried: 0 }
}

/** Whether something flows through it. */
export function isMoving({ flows }: Link): boolean {
  return flows.some(flow => flow.rate > 0)
}

export class Network {
  readonly #queue: EventQueue
  readonly #dirty: Link[] = []
  #dirtyCount = 0
  #flowCount = 0

  constructor(queue: EventQueue) {
    this.#queue = queue
  }

  get flowCount(): number {
    return this.#flowCount
  }

  /** Sends `bytes` through `links`; `onDone` is called when the last one has left. */
  start(links: readonly Link[], bytes: number, onDone: () => void): Flow {
    const flow: Flow = {
      links,
      offers: links.map(link => link.capacity),
      bytes,
      left: bytes,
      rate: 0,
      at: this.#queue.now,
      dueAt: Number.POSITIVE_INFINITY,
      onDone,
      wake: () => this.#wake(flow),
    }
    this.#flowCount++
    for (const link of links) {
      link.flows.push(flow)
      this.#soil(link)
    }
    this.#settle()
    return flow
  }

  /** Ends a flow early. Returns the bytes that had got through. */
  stop(flow: Flow): number {
    if (!flow.onDone) return flow.bytes
    this.#advance(flow)
    this.#remove(flow)
    this.#settle()
    return flow.bytes - flow.left
  }

  /** Changes a link's capacity. */
  resize(link: Link, capacity: number): void {
    link.capacity = capacity
    this.#soil(link)
    this.#settle()
  }

  #remove(flow: Flow): void {
    flow.onDone = null
    this.#flowCount--
    for (const link of flow.links) {
      removeFrom(link.flows, flow)
      link.carried += flow.bytes - flow.left
      this.#soil(link)
    }
  }

  #soil(link: Link): void {
    if (link.isDirty) return
    link.isDirty = true
    this.#dirty[this.#dirtyCount++] = link
  }

  #settle(): void {
    let looks = 0
    for (; looks < this.#dirtyCount && looks < LOOKS_MAX; looks++) {
      const link = this.#dirty[looks]
      link.isDirty = false
      this.#share(link)
    }
    if (looks < this.#dirtyCount) this.#dirty.copyWithin(0, looks, this.#dirtyCount)
    this.#dirtyCount -= looks
  }

  /** Works out what the link grants to each of its flows, as far as their other links let them use it. */
  #share(link: Link): void {
    const level = fairLevel(link)
    for (const flow of link.flows) {
      flow.offers[flow.links.indexOf(link)] = level
      const rate = leastOf(flow.offers)
      if (Math.abs(rate - flow.rate) <= TOLERANCE * flow.rate) continue
      this.#setRate(flow, rate)
      for (const other of flow.links) if (other !== link) this.#soil(other)
    }
  }

  #setRate(flow: Flow, rate: number): void {
    this.#advance(flow)
    flow.rate = rate
    const dueAt = rate > 0 ? this.#queue.now + flow.left / rate : Number.POSITIVE_INFINITY
    if (dueAt < flow.dueAt) this.#wakeAt(flow, dueAt)
  }

  /** A flow that has become slower is looked at too early once, and again when it is due. */
  #wakeAt(flow: Flow, dueAt: number): void {
    flow.dueAt = dueAt
    if (dueAt === Number.POSITIVE_INFINITY) return
    this.#queue.at(dueAt, flow.wake)
  }

  #wake(flow: Flow): void {
    if (flow.dueAt !== this.#queue.now || !flow.onDone) return
    this.#advance(flow)
    if (flow.left > NOTHING) {
      return this.#wakeAt(flow, flow.rate > 0 ? this.#queue.now + flow.left / flow.rate : Infinity)
    }
    flow.left = 0
    const { onDone } = flow
    this.#remove(flow)
    this.#settle()
    onDone()
  }

  #advance(flow: Flow): void {
    flow.left = Math.max(0, flow.left - flow.rate * (this.#queue.now - flow.at))
    flow.at = this.#queue.now
  }
}

const demands: number[] = []

/** The level L with Σ min(demand, L) = capacity, where a demand is the least that the flow's other links grant it. */
function fairLevel(link: Link): number {
  const { flows, capacity } = link
  if (flows.length <= 1) return capacity
  demands.length = 0
  for (const flow of flows) demands.push(demandOf(flow, link))
  demands.sort(ascending)
  let left = capacity
  for (let i = 0; i < demands.length; i++) {
    const share = left / (demands.length - i)
    if (demands[i] >= share) return share
    left -= demands[i]
  }
  return left + demands[demands.length - 1]
}

/** The least that the flow's other links grant it. */
function demandOf({ links, offers }: Flow, link: Link): number {
  let demand = Number.POSITIVE_INFINITY
  for (let i = 0; i < links.length; i++) if (links[i] !== link && offers[i] < demand) demand = offers[i]
  return demand
}

function leastOf(offers: readonly number[]): number {
  let least = Number.POSITIVE_INFINITY
  for (const offer of offers) if (offer < least) least = offer
  return least
}

function ascending(a: number, b: number): number {
  return a - b
}
