import type { ErrorCode } from '../src/core/error.ts'
import { pieceRange } from '../src/core/piece-layout.ts'
import type { SimPeer } from './peer.ts'
import type { World } from './world.ts'

/** A request to a machine that does not answer. */
const NO_ANSWER_SECONDS = 2
/** A transfer that stands still. */
const IDLE_SECONDS = 6

type FetchHost = {
  readonly world: World
  readonly peer: SimPeer
  token(): string
  /** Does it as soon as the process runs. */
  whenAwake(action: () => void): void
}

type Fetch = { stop: () => void }

/** What one peer asks of others: pieces, and which pieces they hold. */
export class PeerFetches {
  readonly #host: FetchHost
  readonly #fetches = new Map<string, Fetch>()

  constructor(host: FetchHost) {
    this.#host = host
  }

  /** The process has died. */
  stopAll(): void {
    for (const fetch of this.#fetches.values()) fetch.stop()
    this.#fetches.clear()
  }

  start(piece: number, sourceName: string): void {
    const { world, peer } = this.#host
    const key = `${piece}@${sourceName}`
    const fetch: Fetch = { stop: () => {} }
    this.#fetches.set(key, fetch)
    const startedAtMs = peer.clock.now()
    const isCurrent = () => this.#fetches.get(key) === fetch
    const fail = (code: ErrorCode) =>
      this.#host.whenAwake(() => {
        if (!isCurrent()) return
        this.#fetches.delete(key)
        peer.run?.send({ type: 'fetch-failed', piece, source: sourceName, code })
      })
    const source = world.sourceNamed(sourceName)
    const latency = world.latency()
    const failLater = (code: ErrorCode, seconds: number) => world.queue.after(seconds, () => fail(code))
    world.queue.after(latency, () => {
      if (!isCurrent()) return
      if (!source?.isAlive) return failLater('SOURCE_GONE', latency)
      if (world.isCut(peer.address, sourceName)) return failLater('SOURCE_GONE', NO_ANSWER_SECONDS)
      const { start, end } = pieceRange(world.origin.layout, piece)
      const stop = source.desk.serve({
        piece,
        bytes: end - start,
        token: this.#host.token(),
        path: world.pathTo(peer, source),
        onRefused: code => failLater(code, latency),
        onServed: value => {
          world.queue.after(latency, () => {
            if (!isCurrent()) return
            if (world.isCut(sourceName, peer.address)) return failLater('SOURCE_SLOW', IDLE_SECONDS)
            this.#host.whenAwake(() => {
              if (!isCurrent()) return
              this.#fetches.delete(key)
              peer.received[source.isSeed ? 'seed' : 'peers'] += end - start
              world.watch.onReceived(peer, piece, { source: sourceName, value })
              peer.run?.receive(piece, sourceName, { value, elapsedMs: peer.clock.now() - startedAtMs })
            })
          })
        },
      })
      // A source that dies says nothing: its connection breaks, or falls silent.
      const unwatch = world.onDeath(sourceName, isSilent =>
        failLater('SOURCE_GONE', isSilent ? IDLE_SECONDS : latency),
      )
      fetch.stop = () => {
        stop()
        unwatch()
      }
    })
  }

  cancel(piece: number, source: string): void {
    const key = `${piece}@${source}`
    const fetch = this.#fetches.get(key)
    this.#fetches.delete(key)
    fetch?.stop()
  }

  askHeld(sourceName: string): void {
    const { world, peer } = this.#host
    const life = peer.life
    const source = world.sourceNamed(sourceName)
    const isReachable = source?.isAlive && !world.isCut(peer.address, sourceName)
    world.queue.after(isReachable ? 2 * world.latency() : NO_ANSWER_SECONDS, () => {
      if (life !== peer.life) return
      const isSame = source?.isAlive && source.disk.version?.generation === peer.disk.version?.generation
      if (!isReachable || !isSame || source === undefined) {
        return peer.run?.send({ type: 'source-silent', source: sourceName })
      }
      peer.run?.send({ type: 'source-holds', source: sourceName, pieces: [...source.disk.journal.members()] })
    })
  }
}
