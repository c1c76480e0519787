import type { ErrorCode } from '../src/core/error.ts'
import { pieceBytes } from '../src/core/piece-layout.ts'
import type { Asker, Upload } from './desk.ts'
import type { Link } from './network.ts'
import type { SimPeer } from './peer.ts'
import type { Source, World } from './world.ts'

/** A request to a machine that does not answer. */
export const NO_ANSWER_SECONDS = 2
/** A transfer that stands still. */
const IDLE_SECONDS = 6

export type FetchHost = {
  readonly world: World
  readonly peer: SimPeer
  token(): string
  /** Does it as soon as the process runs. */
  whenAwake(action: () => void): void
  /** It has come to its end, and nothing more happens to it. */
  onEnd(fetch: PieceFetch): void
}

/** One piece that a peer asks of a source: on its way there, at the source, and on its way back. */
export class PieceFetch implements Asker {
  readonly piece: number
  readonly sourceName: string
  readonly bytes: number
  token = ''
  path: readonly Link[] = []
  readonly #host: FetchHost
  readonly #source: Source | undefined
  /** One way, seconds. */
  readonly #latency: number
  readonly #startedAtMs: number
  #upload: Upload | null = null
  #value = 0
  #isOver = false

  constructor(host: FetchHost, piece: number, sourceName: string) {
    const { world, peer } = host
    this.piece = piece
    this.sourceName = sourceName
    this.bytes = pieceBytes(world.origin.layout, piece)
    this.#host = host
    this.#source = world.sourceNamed(sourceName)
    this.#latency = world.latency()
    this.#startedAtMs = peer.clock.now()
    world.queue.after(this.#latency, () => this.#arrive())
  }

  /** The consumer gives it up. */
  stop(): void {
    this.#isOver = true
    if (this.#upload) this.#source?.desk.giveUp(this.#upload)
    this.#source?.desk.forget(this)
  }

  onRefused(code: ErrorCode): void {
    this.#failLater(code, this.#latency)
  }

  onServed(value: number): void {
    this.#value = value
    this.#host.world.queue.after(this.#latency, () => this.#return())
  }

  /** A source that dies says nothing: its connection breaks, or falls silent. */
  onSourceGone(isSilent: boolean): void {
    this.#failLater('SOURCE_GONE', isSilent ? IDLE_SECONDS : this.#latency)
  }

  #arrive(): void {
    if (this.#isOver) return
    const { world, peer, token } = this.#host
    const source = this.#source
    if (!source?.isAlive) return this.#failLater('SOURCE_GONE', this.#latency)
    if (world.isCut(peer.address, this.sourceName)) return this.#failLater('SOURCE_GONE', NO_ANSWER_SECONDS)
    this.token = token()
    this.path = world.pathTo(peer, source)
    this.#upload = source.desk.serve(this)
  }

  #return(): void {
    if (this.#isOver) return
    const { world, peer, whenAwake } = this.#host
    if (world.isCut(this.sourceName, peer.address)) return this.#failLater('SOURCE_SLOW', IDLE_SECONDS)
    whenAwake(() => this.#finish())
  }

  #finish(): void {
    if (this.#isOver) return
    this.#end()
    const { piece, sourceName, bytes } = this
    const { world, peer } = this.#host
    const value = this.#value
    peer.received[this.#source?.isSeed ? 'seed' : 'peers'] += bytes
    world.watch.onReceived(peer, piece, { source: sourceName, value })
    peer.run?.receive(piece, sourceName, { value, elapsedMs: peer.clock.now() - this.#startedAtMs })
  }

  #failLater(code: ErrorCode, seconds: number): void {
    const { world, whenAwake } = this.#host
    world.queue.after(seconds, () => whenAwake(() => this.#fail(code)))
  }

  #fail(code: ErrorCode): void {
    if (this.#isOver) return
    this.#end()
    const { piece, sourceName } = this
    this.#host.peer.run?.send({ type: 'fetch-failed', piece, source: sourceName, code })
  }

  #end(): void {
    this.#isOver = true
    this.#source?.desk.forget(this)
    this.#host.onEnd(this)
  }
}
