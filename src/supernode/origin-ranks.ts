import type { HostId } from '../swarm/hosts.ts'

/** Members that may read the origin at once, unless set. */
export const ORIGIN_READERS = 3

/** The order in which a swarm's members may read the origin should the supernode be gone: 0 first, each rank given once at a time. */
export class OriginRanks {
  readonly #ranks = new Map<HostId, number>()
  readonly #returned: number[] = []

  /** Stays the same until it is given back. */
  rankOf(host: HostId): number {
    const rank = this.#ranks.get(host) ?? this.#returned.pop() ?? this.#ranks.size
    this.#ranks.set(host, rank)
    return rank
  }

  giveBack(host: HostId): void {
    const rank = this.#ranks.get(host)
    if (rank === undefined) return
    this.#ranks.delete(host)
    this.#returned.push(rank)
  }
}
