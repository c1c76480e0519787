import type { World } from './world.ts'

/** How a distribution stands at one moment. */
export type Sample = {
  readonly seconds: number
  readonly finished: number
  /** Bytes that have arrived as whole pieces, by where peers got them from. */
  readonly fromPeers: number
  readonly fromSeed: number
  readonly fromOrigin: number
}

const SAMPLES_MAX = 400

/**
 * Looks at a world at regular times, and half as often whenever it has seen too much. It only looks: the course of events and their
 * digest are the same with it and without.
 */
export class Sampler {
  readonly #world: World
  #interval: number
  #samples: Sample[] = []

  constructor(world: World, intervalSeconds: number) {
    this.#world = world
    this.#interval = intervalSeconds
    this.#look()
  }

  /** All so far, and how it stands now. */
  take(): Sample[] {
    return [...this.#samples, this.#now()]
  }

  #look(): void {
    this.#samples.push(this.#now())
    if (this.#samples.length > SAMPLES_MAX) {
      this.#samples = this.#samples.filter((_, i) => i % 2 === 0)
      this.#interval *= 2
    }
    const { queue } = this.#world
    queue.after(this.#interval, () => {
      // Nothing else will happen: a look of ours is no reason to go on.
      if (!queue.isEmpty) this.#look()
    })
  }

  #now(): Sample {
    const { peers, queue } = this.#world
    let [finished, fromPeers, fromSeed] = [0, 0, 0]
    for (const peer of peers) {
      if (peer.finishedAt !== null) finished++
      fromPeers += peer.received.peers
      fromSeed += peer.received.seed
    }
    return {
      seconds: queue.now,
      finished,
      fromPeers,
      fromSeed,
      fromOrigin: bytesPeersGotFromOrigin(this.#world),
    }
  }
}

export function bytesPeersGotFromOrigin({ origin, supernodes }: World): number {
  return supernodes.reduce(
    (sum, supernode) => sum - (origin.sentBytes.get(supernode.name) ?? 0),
    origin.totalSentBytes,
  )
}
