import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import type { Http1Timeouts } from './http1-connection.ts'
import {
  type Orphans,
  type SourceAddress,
  SourceConnection,
  type SourceRequest,
} from './source-connection.ts'

export type DispatcherOptions = {
  readonly clock: Clock
  readonly timeouts: Http1Timeouts
  readonly connectionsPerSource: number
  /** Requests on the wire per connection. */
  readonly pipelineDepth: number
  readonly idleCloseMs: number
  /** To all sources together. */
  readonly maxConnections: number
}

type Source = {
  readonly address: SourceAddress
  readonly connections: Set<SourceConnection>
  /** For which no connection has room yet. */
  readonly waiting: SourceRequest[]
  /** What the source turned out to bear. */
  connectionsMax: number
  pipelineDepth: number
}

/**
 * Decides which connection carries which request: an idle one, else one with a single request, so that the source goes on sending without
 * a pause and what was asked for first comes first; else a new one, else the one with the shortest queue, else the request waits with its
 * source. While a source has none and none can be opened, the others only finish what is on the wire, so that it gets its turn.
 */
export class SourceDispatcher {
  readonly #options: DispatcherOptions
  readonly #sources = new Map<string, Source>()
  /** With requests, without a connection; in the order in which they came. */
  readonly #starved = new Set<Source>()
  /** To be looked at again; whatever happens meanwhile only adds to it. */
  readonly #unsettled = new Set<Source>()
  #isSettling = false
  #connectionCount = 0
  #cancelSweep: (() => void) | null = null
  #isClosed = false

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  get connectionCount(): number {
    return this.#connectionCount
  }

  /** @throws DragonflyError SOURCE_BUSY where too many requests wait for this source already */
  submit(address: SourceAddress, request: SourceRequest): void {
    if (this.#isClosed) throw new DragonflyError('CANCELLED', 'the client is closed')
    const source = this.#sourceAt(address)
    if (source.waiting.length >= WAITING_MAX) {
      throw new DragonflyError('SOURCE_BUSY', 'too many requests wait for this source')
    }
    source.waiting.push(request)
    this.#settle([source])
  }

  cancel(address: SourceAddress, request: SourceRequest): void {
    request.isCancelled = true
    const source = this.#sources.get(keyOf(address))
    if (!source) return
    const position = source.waiting.indexOf(request)
    if (position < 0) {
      for (const connection of source.connections) connection.cancel(request)
      return
    }
    source.waiting.splice(position, 1)
    request.fail(null)
    this.#settle([source])
  }

  close(): void {
    this.#isClosed = true
    this.#cancelSweep?.()
    for (const source of [...this.#sources.values()]) {
      for (const request of source.waiting.splice(0)) request.fail(null)
      for (const connection of [...source.connections]) connection.close()
    }
  }

  #sourceAt(address: SourceAddress): Source {
    const key = keyOf(address)
    const known = this.#sources.get(key)
    if (known) return known
    const { connectionsPerSource, pipelineDepth } = this.#options
    const source: Source = {
      address,
      connections: new Set(),
      waiting: [],
      connectionsMax: connectionsPerSource,
      pipelineDepth,
    }
    this.#sources.set(key, source)
    return source
  }

  #settle(sources: Iterable<Source>): void {
    for (const source of sources) this.#unsettled.add(source)
    if (this.#isSettling) return
    this.#isSettling = true
    for (const source of this.#unsettled) {
      this.#unsettled.delete(source)
      this.#pump(source)
    }
    this.#isSettling = false
  }

  #pump(source: Source): void {
    while (source.waiting.length > 0) {
      const connection = this.#pick(source)
      if (!connection) break
      connection.send(source.waiting.shift()!)
    }
    if (source.waiting.length > 0 && source.connections.size === 0) this.#starved.add(source)
    else if (this.#starved.delete(source) && this.#starved.size === 0) this.#settle(this.#sources.values())
    if (source.connections.size === 0 && source.waiting.length === 0)
      this.#sources.delete(keyOf(source.address))
  }

  /** Null where the first that waits has to go on waiting. */
  #pick(source: Source): SourceConnection | null {
    if (this.#starved.size > 0 && source.connections.size > 0) return null
    for (const connection of [...source.connections])
      if (connection.isIdle && !connection.isUsable) connection.close()
    const usable = [...source.connections].filter(connection => connection.isUsable)
    const shortest = usable.sort((a, b) => a.load - b.load)[0]
    const load = shortest?.load ?? Number.POSITIVE_INFINITY
    if (load < inARow(source)) return shortest
    // Those for whom a connection is being opened wait for it; the rest queue behind others.
    if (source.waiting.length <= this.#openFor(source)) return null
    return load < source.pipelineDepth ? shortest : null
  }

  /** Opens connections for the requests that wait, as far as the limits go; returns for how many there are some being opened. */
  #openFor(source: Source): number {
    let roomCount = 0
    for (const connection of source.connections) if (!connection.isOpen) roomCount += inARow(source)
    while (roomCount < source.waiting.length && this.#open(source)) roomCount += inARow(source)
    return roomCount
  }

  #open(source: Source): boolean {
    if (source.connections.size >= source.connectionsMax || !this.#hasRoom()) return false
    const { clock, timeouts } = this.#options
    const connection = new SourceConnection({
      address: source.address,
      clock,
      timeouts,
      onOpen: opened => this.#onOpen(source, opened),
      onAnswered: answered => this.#onAnswered(source, answered),
      onClosed: (closed, orphans, failure) => this.#onClosed(source, closed, { orphans, failure }),
    })
    source.connections.add(connection)
    this.#connectionCount++
    return true
  }

  /** Where all connections are in use, the one that has been idle longest gives way. */
  #hasRoom(): boolean {
    if (this.#connectionCount < this.#options.maxConnections) return true
    let oldest: SourceConnection | null = null
    for (const connection of this.#idleConnections()) {
      if (!oldest || connection.idleSinceMs < oldest.idleSinceMs) oldest = connection
    }
    oldest?.close()
    return oldest !== null
  }

  /** A fresh connection carries at least one request, whoever else is starved. */
  #onOpen(source: Source, connection: SourceConnection): void {
    const request = source.waiting.shift()
    if (request) connection.send(request)
    this.#onAnswered(source, connection)
  }

  #onAnswered(source: Source, connection: SourceConnection): void {
    this.#settle([source])
    if (!connection.isIdle) return
    if (this.#starved.size > 0) connection.close()
    else this.#sweepLater()
  }

  #onClosed(source: Source, connection: SourceConnection, end: { orphans: Orphans; failure: unknown }): void {
    source.connections.delete(connection)
    this.#connectionCount--
    if (this.#isClosed) {
      for (const request of end.orphans.requests) request.fail(null)
      return
    }
    if (end.failure !== null) this.#onConnectFailed(source, end.failure)
    this.#takeBack(source, end.orphans)
    this.#settle([...this.#starved, source])
  }

  /** As long as another connection lives, the source has only said how many it bears. */
  #onConnectFailed(source: Source, failure: unknown): void {
    source.connectionsMax = Math.max(1, source.connections.size)
    if (source.connections.size > 0) return
    for (const request of source.waiting.splice(0)) request.fail(failure)
  }

  /** Those left behind go first, in their order; the source's fault counts against each once. */
  #takeBack(source: Source, orphans: Orphans): void {
    const isFault = orphans.cause === 'broken' || orphans.cause === 'stale'
    const returning: SourceRequest[] = []
    for (const request of orphans.requests) {
      if (request.isCancelled) request.fail(null)
      else if (isFault && request.moves++ > 0)
        request.fail(new DragonflyError('SOURCE_GONE', 'the connection broke twice'))
      else returning.push(request)
    }
    if (orphans.cause === 'answered' && orphans.requests.length > 0) source.pipelineDepth = 1
    if (orphans.cause === 'stale') this.#closeIdle(source)
    source.waiting.unshift(...returning)
  }

  #closeIdle(source: Source): void {
    for (const connection of [...source.connections]) if (connection.isIdle) connection.close()
  }

  *#idleConnections(): Generator<SourceConnection> {
    for (const source of this.#sources.values()) {
      for (const connection of source.connections) if (connection.isIdle) yield connection
    }
  }

  #sweepLater(delayMs = this.#options.idleCloseMs): void {
    if (this.#cancelSweep || this.#isClosed) return
    this.#cancelSweep = this.#options.clock.schedule(delayMs, () => this.#sweep())
  }

  #sweep(): void {
    this.#cancelSweep = null
    const { clock, idleCloseMs } = this.#options
    let nextMs = Number.POSITIVE_INFINITY
    for (const connection of [...this.#idleConnections()]) {
      const remainingMs = connection.idleSinceMs + idleCloseMs - clock.now()
      if (remainingMs <= 0) connection.close()
      else nextMs = Math.min(nextMs, remainingMs)
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#sweepLater(nextMs)
  }
}

function keyOf(address: SourceAddress): string {
  return `${address.host} ${address.port} ${address.lane}`
}

/** Requests that one connection carries before another one is worth its while. */
function inARow({ pipelineDepth }: Source): number {
  return Math.min(2, pipelineDepth)
}

const WAITING_MAX = 256
