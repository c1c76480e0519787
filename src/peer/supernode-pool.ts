import { type Caller, shownBy } from '../core/caller.ts'
import { type Clock, sleep } from '../core/clock.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import type { Random } from '../core/random.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Log } from '../ops/log.ts'
import type { SourceId } from '../transfer/events.ts'
import type { PeerMessage } from '../wire/control.ts'
import { Backoff } from './backoff.ts'
import { type PeerIdentity, SupernodeChannel } from './supernode-channel.ts'
import type { TaskLink, TaskLinkHandler } from './task-link.ts'

type PoolOptions = {
  readonly identity: PeerIdentity
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** A channel that is open or being opened. */
type Entry = {
  readonly node: string
  readonly opening: Promise<SupernodeChannel>
  /** Tasks with a run on it. */
  readonly live: Set<TaskId>
  /** Whom each task was announced for since the channel opened. */
  readonly announced: Map<TaskId, string>
}

/** A run's place on a channel, until it is given back. */
type Place = { readonly channel: SupernodeChannel; giveBack(): void }

/**
 * The channels of this peer, opened when a task needs one and closed when none does. One per supernode will do, except that what a
 * supernode says names the task and not the announce that it answers: two runs of a task at the same time, or after each other for
 * callers that show different things to the origin, are on different channels, so that none is let in by the answer to the other.
 */
export class SupernodePool {
  readonly #options: PoolOptions
  readonly #entries = new Set<Entry>()
  readonly #links = new Set<RoamingLink>()
  readonly #closing = new AbortController()

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /** A link that stays with the first supernode of the list that answers, and moves on when that one is lost. */
  link(nodes: readonly HostPort[], request: LinkRequest, handler: TaskLinkHandler): TaskLink {
    const link = new RoamingLink({ ...this.#options, nodes, request, handler, pool: this })
    this.#links.add(link)
    if (this.#closing.signal.aborted) link.close()
    void link.roam().finally(() => this.#links.delete(link))
    return link
  }

  /** @throws DragonflyError SUPERNODE_UNREACHABLE, PROTOCOL_VERSION, PROTOCOL_INVALID */
  async take(node: HostPort, request: LinkRequest): Promise<Place> {
    const { taskId } = request
    const entry = this.#fitting(formatHostPort(node), request) ?? this.#open(node)
    entry.live.add(taskId)
    entry.announced.set(taskId, shownBy(request))
    const channel = await entry.opening
    const giveBack = () => {
      entry.live.delete(taskId)
      if (entry.live.size > 0) return
      this.#entries.delete(entry)
      channel.close()
    }
    return { channel, giveBack }
  }

  close(): void {
    for (const link of this.#links) link.close()
    this.#closing.abort(new DragonflyError('CANCELLED', 'the peer stops'))
  }

  #fitting(node: string, request: LinkRequest): Entry | null {
    for (const entry of this.#entries) {
      if (entry.node !== node || entry.live.has(request.taskId)) continue
      const shown = entry.announced.get(request.taskId)
      if (shown === undefined || shown === shownBy(request)) return entry
    }
    return null
  }

  #open(node: HostPort): Entry {
    const opening = SupernodeChannel.open(node, { ...this.#options, signal: this.#closing.signal })
    const entry: Entry = { node: formatHostPort(node), opening, live: new Set(), announced: new Map() }
    this.#entries.add(entry)
    const forget = () => this.#entries.delete(entry)
    opening.then(channel => channel.closed().then(forget), forget)
    return entry
  }
}

type LinkRequest = Caller & { readonly taskId: TaskId }

type RoamingOptions = PoolOptions & {
  readonly nodes: readonly HostPort[]
  readonly request: LinkRequest
  readonly handler: TaskLinkHandler
  readonly pool: SupernodePool
}

class RoamingLink implements TaskLink {
  readonly #options: RoamingOptions
  readonly #ended = new AbortController()
  /** Survives the channels, so that sources of a lost supernode can still be asked. */
  readonly #channels: SupernodeChannel[] = []
  #place: Place | null = null

  constructor(options: RoamingOptions) {
    this.#options = options
  }

  async roam(): Promise<void> {
    const { clock, random, handler } = this.#options
    const { signal } = this.#ended
    const backoff = new Backoff(random)
    while (!signal.aborted) {
      const place = await this.#connect()
      const openedAt = clock.now()
      if (place) await this.#stay(place)
      else if (this.#channels.length === 0 && !signal.aborted) handler.onUnavailable()
      const pauseMs = backoff.nextMs(place ? clock.now() - openedAt : 0)
      if (pauseMs > 0) await sleep(clock, pauseMs, signal).catch(() => {})
    }
  }

  /** Resolves when the channel has closed, or the link. */
  async #stay(place: Place): Promise<void> {
    const { handler, request } = this.#options
    const { signal } = this.#ended
    if (signal.aborted) return place.giveBack()
    this.#place = place
    this.#channels.unshift(place.channel)
    this.#channels.splice(CHANNELS_KEPT)
    await place.channel.attach(request.taskId, handler)
    if (signal.aborted) return
    this.#place = null
    place.giveBack()
    handler.onLost()
  }

  get node(): HostPort | null {
    return this.#place?.channel.address ?? null
  }

  send(message: PeerMessage): void {
    this.#place?.channel.send(message)
  }

  numbersOf(source: SourceId): readonly number[] {
    return this.#place?.channel.numbersOf(source) ?? []
  }

  addressOf(source: SourceId): HostPort | null {
    for (const channel of this.#channels) {
      const address = channel.addressOf(source)
      if (address) return address
    }
    return null
  }

  close(): void {
    if (this.#ended.signal.aborted) return
    this.#ended.abort()
    const place = this.#place
    if (!place) return
    this.#place = null
    place.channel.detach(this.#options.request.taskId)
    place.giveBack()
  }

  async #connect(): Promise<Place | null> {
    const { nodes, pool, log, request } = this.#options
    for (const node of nodes) {
      if (this.#ended.signal.aborted) return null
      try {
        return await pool.take(node, request)
      } catch (thrown) {
        if (this.#ended.signal.aborted) return null
        const { code, message } = toDragonflyError(thrown)
        log.warn({ supernode: formatHostPort(node), code, cause: message }, 'supernode not reached')
      }
    }
    return null
  }
}

const CHANNELS_KEPT = 4
