import type { Member } from './member.ts'

type Place = { readonly member: Member; isTaken: boolean }

/**
 * Consumers that wait for a source, longest waiting first. Each call costs the same however many wait. Who was looked at in vain comes back
 * at once, and thousands do so in turn; therefore its place is kept for it, and taking it out and putting it back looks it up once.
 */
export class HungryQueue {
  /** The place of each that waits, or has waited since it was last deleted. */
  readonly #placeOf = new Map<Member, Place>()
  /** Places of members that were deleted meanwhile stay until they come to the front. */
  #places: Place[] = []
  #front = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Who waits already keeps its place. */
  add(member: Member): void {
    let place = this.#placeOf.get(member)
    if (place && !place.isTaken) return
    if (!place) {
      place = { member, isTaken: false }
      this.#placeOf.set(member, place)
    }
    place.isTaken = false
    this.#places.push(place)
    this.#size++
  }

  delete(member: Member): void {
    const place = this.#placeOf.get(member)
    if (!place) return
    this.#placeOf.delete(member)
    if (!place.isTaken) this.#size--
    place.isTaken = true
  }

  takeFirst(): Member | null {
    const place = this.#next()
    if (!place) return null
    place.isTaken = true
    this.#size--
    return place.member
  }

  /** Puts the first `count` behind the others. */
  rotate(count: number): void {
    for (let i = 0; i < count; i++) {
      const place = this.#next()
      if (place) this.#places.push(place)
    }
  }

  #next(): Place | null {
    while (this.#front < this.#places.length) {
      const place = this.#places[this.#front++]
      if (this.#front >= COMPACT_AT && this.#front * 2 > this.#places.length) {
        this.#places = this.#places.slice(this.#front)
        this.#front = 0
      }
      if (!place.isTaken) return place
    }
    return null
  }
}

const COMPACT_AT = 64
