import { removeFrom } from '../src/core/remove-from.ts'
import { type FetchHost, NO_ANSWER_SECONDS, PieceFetch } from './piece-fetch.ts'

/** What one peer asks of others: pieces, and which pieces they hold. */
export class PeerFetches {
  readonly #host: FetchHost
  /** A handful, each for another piece or from another source. */
  readonly #fetches: PieceFetch[] = []

  constructor(host: Omit<FetchHost, 'onEnd'>) {
    this.#host = { ...host, onEnd: fetch => this.#remove(fetch) }
  }

  /** The process has died. */
  stopAll(): void {
    for (const fetch of this.#fetches.splice(0)) fetch.stop()
  }

  start(piece: number, sourceName: string): void {
    this.#fetches.push(new PieceFetch(this.#host, piece, sourceName))
  }

  cancel(piece: number, sourceName: string): void {
    const fetch = this.#fetches.find(one => one.piece === piece && one.sourceName === sourceName)
    if (!fetch) return
    this.#remove(fetch)
    fetch.stop()
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

  #remove(fetch: PieceFetch): void {
    removeFrom(this.#fetches, fetch)
  }
}
