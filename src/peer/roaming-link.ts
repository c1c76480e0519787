import { type Clock, sleep } from '../core/clock.ts'
import { type ErrorCode, toDragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import { jitter, type Random } from '../core/random.ts'
import { firstInTurn } from '../net/in-turn.ts'
import type { Log } from '../ops/log.ts'
import type { SourceId } from '../transfer/events.ts'
import { isOfSupernode } from '../transfer/failure.ts'
import type { PeerMessage } from '../wire/control.ts'
import { Backoff } from './backoff.ts'
import type { SupernodeChannel } from './supernode-channel.ts'
import type { SupernodeSearch } from './supernode-finder.ts'
import type { LinkRequest, Place, SupernodePool } from './supernode-pool.ts'
import type { TaskLink, TaskLinkHandler } from './task-link.ts'

type RoamingOptions = {
  readonly search: SupernodeSearch
  readonly request: LinkRequest
  readonly handler: TaskLinkHandler
  readonly pool: SupernodePool
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** Of a whole search, asking and connecting; then the download goes on without. */
const SEARCH_MS = 9_000
/** For all supernodes of a list together. */
const ROUND_MS = 4_000
/** How long the best one is waited for before the next is tried beside it. */
const HEAD_START_MS = 1_000
const HEAD_START_MS_MIN = 100
/** The last of a list has at least so long. */
const LAST_MS = 1_000
/** While there is none, whoever is known is tried all the time, and the managing nodes are asked so often. */
const ASK_AGAIN_MS = 30_000
/** After which who has declined the task is asked for it again. */
const DECLINED_MS = 30_000
const CHANNELS_KEPT = 4

/** A run's way to its supernode: stays as long as that lives, even if a better one comes back, and then looks for another. */
export class RoamingLink implements TaskLink {
  readonly #options: RoamingOptions
  readonly #ended = new AbortController()
  /** Survives the channels, so that sources of a lost supernode can still be asked. */
  readonly #channels: SupernodeChannel[] = []
  #place: Place | null = null
  /** Until when those are not tried that have declined the task. */
  readonly #declined = new Map<string, number>()
  /** The last one that was reached has. */
  #isDeclined = false
  /** Since the last supernode was lost, nobody was asked before. */
  #askDueAt = Number.NEGATIVE_INFINITY
  /** Those of the last search. */
  #known: readonly HostPort[] = []

  constructor(options: RoamingOptions) {
    this.#options = options
  }

  async roam(): Promise<void> {
    const { clock, random, handler } = this.#options
    const { signal } = this.#ended
    const backoff = new Backoff(random)
    while (!signal.aborted) {
      const soughtAt = clock.now()
      const place = await this.#find()
      const openedAt = clock.now()
      if (place) this.#logFound(place, openedAt - soughtAt)
      if (place) await this.#stay(place)
      else if ((this.#channels.length === 0 || this.#isDeclined) && !signal.aborted) handler.onUnavailable()
      if (place && this.#isDeclined) continue
      const pauseMs = backoff.nextMs(place ? clock.now() - openedAt : 0)
      if (pauseMs > 0) await sleep(clock, pauseMs, signal).catch(() => {})
    }
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

  /** Resolves when the channel has closed, or the link. */
  async #stay(place: Place): Promise<void> {
    const { handler, request } = this.#options
    const { signal } = this.#ended
    if (signal.aborted) return place.giveBack()
    this.#place = place
    this.#askDueAt = Number.NEGATIVE_INFINITY
    this.#channels.unshift(place.channel)
    this.#channels.splice(CHANNELS_KEPT)
    this.#isDeclined = false
    await place.channel.attach(request.taskId, this.#watched(place, handler))
    if (signal.aborted) return
    this.#place = null
    place.giveBack()
    if (!this.#isDeclined) handler.onLost()
  }

  /** One that declines the task, or cannot take it in at present, is left for others, as long as there are some. */
  #watched(place: Place, handler: TaskLinkHandler): TaskLinkHandler {
    const mine = formatHostPort(place.channel.address)
    let isIn = false
    return {
      ...handler,
      onLayout: message => {
        isIn = true
        handler.onLayout(message)
      },
      onError: (code, message) => {
        const isOther = (node: HostPort) => formatHostPort(node) !== mine && this.#isDue(node)
        const isForOthers = !isIn && isOfSupernode(code) && this.#known.some(isOther)
        if (code === 'SUPERNODE_DECLINED' || isForOthers) this.#moveOn(place, { code, cause: message })
        else handler.onError(code, message)
      },
    }
  }

  /** It lives, but this task is for others: they are tried at once, and it itself not for a while. */
  #moveOn({ channel }: Place, reason: { code: ErrorCode; cause: string }): void {
    const { clock, log, request } = this.#options
    const supernode = formatHostPort(channel.address)
    log.info({ supernode, taskId: request.taskId, ...reason }, 'supernode declined')
    this.#declined.set(supernode, clock.now() + DECLINED_MS)
    this.#isDeclined = true
    channel.detach(request.taskId)
  }

  #isDue(node: HostPort): boolean {
    return this.#options.clock.now() >= (this.#declined.get(formatHostPort(node)) ?? Number.NEGATIVE_INFINITY)
  }

  /** Those of the search, then those that the managing node names when it is asked once more. */
  async #find(): Promise<Place | null> {
    const { clock, search } = this.#options
    if (clock.now() < this.#askDueAt) return this.#tryAll(await search.known(), ROUND_MS)
    const late = new AbortController()
    const cancel = clock.schedule(SEARCH_MS, () => late.abort())
    try {
      return await this.#search(AbortSignal.any([this.#ended.signal, late.signal]))
    } finally {
      cancel()
    }
  }

  async #search(signal: AbortSignal): Promise<Place | null> {
    const { clock, random, search } = this.#options
    const startedAt = clock.now()
    const nodes = await search.first(signal)
    const place = await this.#tryAll(nodes, ROUND_MS)
    if (place || this.#ended.signal.aborted) return place
    this.#askDueAt = clock.now() + jitter(random, ASK_AGAIN_MS)
    // Where nothing is known the managing nodes have just been asked in vain.
    const others = nodes.length === 0 ? [] : newFirst(await search.again(signal), nodes)
    const found = await this.#tryAll(others, Math.min(ROUND_MS, startedAt + SEARCH_MS - clock.now()))
    if (!found && !this.#ended.signal.aborted) this.#logVain([...nodes, ...others], startedAt)
    return found
  }

  #tryAll(listed: readonly HostPort[], totalMs: number): Promise<Place | null> {
    this.#known = listed
    const nodes = listed.filter(node => this.#isDue(node))
    const { pool, clock, log, request } = this.#options
    const others = Math.max(1, nodes.length - 2)
    const spreadMs = (ROUND_MS - HEAD_START_MS - LAST_MS) / others
    return firstInTurn({
      items: nodes,
      attempt: (node, signal) => pool.take(node, request, signal),
      headStartMs: index =>
        index === 0 ? HEAD_START_MS : Math.min(Math.max(spreadMs, HEAD_START_MS_MIN), HEAD_START_MS),
      totalMs,
      clock,
      signal: this.#ended.signal,
      onFailed(node, thrown) {
        const { code, message } = toDragonflyError(thrown)
        log.warn({ supernode: formatHostPort(node), code, cause: message }, 'supernode not reached')
      },
      discard: place => place.giveBack(),
    })
  }

  #logFound({ channel }: Place, ms: number): void {
    const { log, request } = this.#options
    const facts = { taskId: request.taskId, supernode: formatHostPort(channel.address), ms: Math.round(ms) }
    log.debug(facts, 'supernode found')
  }

  #logVain(nodes: readonly HostPort[], startedAt: number): void {
    const { clock, log, request } = this.#options
    const tried = [...new Set(nodes.map(formatHostPort))]
    const ms = Math.round(clock.now() - startedAt)
    log.warn({ taskId: request.taskId, tried, ms }, 'no supernode to be had')
  }
}

function newFirst(nodes: readonly HostPort[], tried: readonly HostPort[]): HostPort[] {
  const names = new Set(tried.map(formatHostPort))
  const isTried = (node: HostPort) => names.has(formatHostPort(node))
  return [...nodes.filter(node => !isTried(node)), ...nodes.filter(isTried)]
}
