import type { Member } from './member.ts'

type Place = { readonly member: Member; readonly ticket: number }

/** Consumers that wait for a source, longest waiting first. Each call costs the same however many wait. */
export class HungryQueue {
  readonly #tickets = new Map<Member, number>()
  /** Places of members that have gone meanwhile stay until they come to the front. */
  #places: Place[] = []
  #front = 0
  #nextTicket = 0

  get size(): number {
    return this.#tickets.size
  }

  /** Who waits already keeps its place. */
  add(member: Member): void {
    if (this.#tickets.has(member)) return
    this.#tickets.set(member, this.#nextTicket)
    this.#places.push({ member, ticket: this.#nextTicket++ })
  }

  delete(member: Member): void {
    this.#tickets.delete(member)
  }

  takeFirst(): Member | null {
    while (this.#front < this.#places.length) {
      const { member, ticket } = this.#places[this.#front++]
      if (this.#front >= COMPACT_AT && this.#front * 2 > this.#places.length) {
        this.#places = this.#places.slice(this.#front)
        this.#front = 0
      }
      if (this.#tickets.get(member) !== ticket) continue
      this.#tickets.delete(member)
      return member
    }
    return null
  }
}

const COMPACT_AT = 64
