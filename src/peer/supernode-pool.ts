import { type Caller, shownBy } from '../core/caller.ts'
import { type Clock, orAborted } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import type { Random } from '../core/random.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Log } from '../ops/log.ts'
import { RoamingLink } from './roaming-link.ts'
import { type PeerIdentity, SupernodeChannel } from './supernode-channel.ts'
import type { SupernodeSearch } from './supernode-finder.ts'
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
  /** Nobody wants the channel any more. */
  readonly ending: AbortController
  /** Tasks with a run on it. */
  readonly live: Set<TaskId>
  /** Whom each task was announced for since the channel opened. */
  readonly announced: Map<TaskId, string>
}

/** A run's place on a channel, until it is given back. */
export type Place = { readonly channel: SupernodeChannel; giveBack(): void }

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

  /** A link that stays with the first supernode of the search that answers, and moves on when that one is lost. */
  link(search: SupernodeSearch, request: LinkRequest, handler: TaskLinkHandler): TaskLink {
    const link = new RoamingLink({ ...this.#options, search, request, handler, pool: this })
    this.#links.add(link)
    if (this.#closing.signal.aborted) link.close()
    void link.roam().finally(() => this.#links.delete(link))
    return link
  }

  /**
   * The signal gives the place back before there is one.
   * @throws DragonflyError SUPERNODE_UNREACHABLE, PROTOCOL_VERSION, PROTOCOL_INVALID
   */
  async take(node: HostPort, request: LinkRequest, signal: AbortSignal): Promise<Place> {
    const { taskId } = request
    const entry = this.#fitting(formatHostPort(node), request) ?? this.#open(node)
    entry.live.add(taskId)
    entry.announced.set(taskId, shownBy(request))
    const giveBack = () => {
      entry.live.delete(taskId)
      if (entry.live.size > 0) return
      this.#entries.delete(entry)
      entry.ending.abort()
    }
    try {
      return { channel: await orAborted(entry.opening, signal), giveBack }
    } catch (thrown) {
      giveBack()
      if (!signal.aborted) throw thrown
      throw new DragonflyError('SUPERNODE_UNREACHABLE', `${formatHostPort(node)} does not greet back in time`)
    }
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
    const ending = new AbortController()
    const signal = AbortSignal.any([this.#closing.signal, ending.signal])
    const opening = SupernodeChannel.open(node, { ...this.#options, signal })
    const entry: Entry = {
      node: formatHostPort(node),
      opening,
      ending,
      live: new Set(),
      announced: new Map(),
    }
    this.#entries.add(entry)
    const forget = () => this.#entries.delete(entry)
    opening.then(channel => {
      if (ending.signal.aborted) channel.close()
      ending.signal.addEventListener('abort', () => channel.close())
      return channel.closed().then(forget)
    }, forget)
    return entry
  }
}

export type LinkRequest = Caller & { readonly taskId: TaskId }
