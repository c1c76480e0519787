import { assert } from '../core/assert.ts'

/** A small number that stands for a host as long as the supernode knows it. */
export type HostId = number

type HostLoad = { slots: number; load: number }

/** Upload slots over all tasks: how many pieces each host has been asked to send at this moment. */
export class Hosts {
  readonly #loads = new Map<HostId, HostLoad>()

  add(host: HostId, slots: number): void {
    assert(slots >= 1, 'a host has at least one upload slot')
    this.#loads.set(host, { slots, load: 0 })
  }

  remove(host: HostId): void {
    this.#loads.delete(host)
  }

  hasFreeSlot(host: HostId): boolean {
    const entry = this.#loads.get(host)
    return entry !== undefined && entry.load < entry.slots
  }

  slotsOf(host: HostId): number {
    return this.#loads.get(host)?.slots ?? 0
  }

  /** Share of the slots in use: 0 idle, 1 full. A host that is gone counts as full. */
  utilisation(host: HostId): number {
    const entry = this.#loads.get(host)
    return entry === undefined ? 1 : entry.load / entry.slots
  }

  occupy(host: HostId): void {
    const entry = this.#loads.get(host)
    if (entry) entry.load++
  }

  free(host: HostId): void {
    const entry = this.#loads.get(host)
    if (!entry) return
    assert(entry.load > 0, 'only an occupied slot is freed')
    entry.load--
  }
}
