import { type Clock, sleep } from '../core/clock.ts'
import { toDragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import { jitter, type Random } from '../core/random.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Log } from '../ops/log.ts'
import type { SourceId } from '../transfer/events.ts'
import type { PeerMessage } from '../wire/control.ts'
import { type PeerIdentity, SupernodeChannel } from './supernode-channel.ts'
import type { TaskLink, TaskLinkHandler } from './task-link.ts'

export type PoolOptions = {
  readonly identity: PeerIdentity
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

const BACKOFF_MIN_MS = 200
const BACKOFF_MAX_MS = 5_000

/** The channels of this peer, one per supernode, opened when a task needs one and closed when none does. */
export class SupernodePool {
  readonly #options: PoolOptions
  readonly #channels = new Map<string, Promise<SupernodeChannel>>()
  readonly #links = new Set<RoamingLink>()

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /** A link that stays with the first supernode of the list that answers, and moves on when that one is lost. */
  link(nodes: readonly HostPort[], taskId: TaskId, handler: TaskLinkHandler): TaskLink {
    const link = new RoamingLink({ ...this.#options, nodes, taskId, handler, pool: this })
    this.#links.add(link)
    void link.roam().finally(() => this.#links.delete(link))
    return link
  }

  /** Callers for the same supernode share one channel. */
  channel(node: HostPort): Promise<SupernodeChannel> {
    const key = formatHostPort(node)
    const known = this.#channels.get(key)
    if (known) return known
    const opening = SupernodeChannel.open(node, this.#options)
    this.#channels.set(key, opening)
    const forget = () => {
      if (this.#channels.get(key) === opening) this.#channels.delete(key)
    }
    opening.then(channel => channel.closed().then(forget), forget)
    return opening
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close()
    for (const opening of this.#channels.values()) {
      opening.then(
        channel => channel.close(),
        () => {},
      )
    }
  }
}

type RoamingOptions = PoolOptions & {
  readonly nodes: readonly HostPort[]
  readonly taskId: TaskId
  readonly handler: TaskLinkHandler
  readonly pool: SupernodePool
}

class RoamingLink implements TaskLink {
  readonly #options: RoamingOptions
  readonly #ended = new AbortController()
  /** Survives the channels, so that sources of a lost supernode can still be asked. */
  readonly #channels: SupernodeChannel[] = []
  #channel: SupernodeChannel | null = null

  constructor(options: RoamingOptions) {
    this.#options = options
  }

  async roam(): Promise<void> {
    const { clock, random, handler, taskId } = this.#options
    let backoffMs = BACKOFF_MIN_MS
    while (!this.#ended.signal.aborted) {
      const channel = await this.#connect()
      if (this.#ended.signal.aborted) return
      if (!channel) {
        if (this.#channels.length === 0) handler.onUnavailable()
        await sleep(clock, jitter(random, backoffMs), this.#ended.signal).catch(() => {})
        backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS)
        continue
      }
      backoffMs = BACKOFF_MIN_MS
      this.#channel = channel
      if (!this.#channels.includes(channel)) this.#channels.unshift(channel)
      this.#channels.splice(CHANNELS_KEPT)
      channel.attach(taskId, handler)
      handler.onReady(channel.seed)
      await channel.closed()
      this.#channel = null
      if (!this.#ended.signal.aborted) handler.onLost()
    }
  }

  send(message: PeerMessage): void {
    this.#channel?.send(message, this.#options.handler)
  }

  numberOf(source: SourceId): number | null {
    return this.#channel?.numberOf(source) ?? null
  }

  addressOf(source: SourceId): HostPort | null {
    for (const channel of this.#channels) {
      const address = channel.addressOf(source)
      if (address) return address
    }
    return null
  }

  close(): void {
    this.#ended.abort()
    const channel = this.#channel
    if (!channel) return
    channel.detach(this.#options.taskId, this.#options.handler)
    if (channel.taskCount === 0) channel.close()
  }

  async #connect(): Promise<SupernodeChannel | null> {
    const { nodes, pool, log } = this.#options
    for (const node of nodes) {
      try {
        return await pool.channel(node)
      } catch (thrown) {
        const { code, message } = toDragonflyError(thrown)
        log.warn({ supernode: formatHostPort(node), code, cause: message }, 'supernode not reached')
      }
    }
    return null
  }
}

const CHANNELS_KEPT = 4
