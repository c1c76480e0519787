import type { Member } from './member.ts'

/** Where a member stands in a queue. It does not while the place is taken: by whoever looks at it, or because it has gone. */
export type Place = { readonly member: Member; readonly queue: HungryQueue; isTaken: boolean }

/**
 * Consumers that wait for a source, longest waiting first. Each call costs the same however many wait. Members know their places, so that
 * nobody is searched for; who was looked at in vain comes back at once, thousands do so in turn, and gets the same place again.
 */
export class HungryQueue {
  /** Places of members that were deleted meanwhile stay until they come to the front. */
  #places: Place[] = []
  #front = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  /**
   * Who waits already keeps its place.
   * @param before where the member stands or stood, in this queue or in another, which it leaves for this one
   */
  add(member: Member, before: Place | null): Place {
    let place = before
    if (place?.queue !== this) {
      place?.queue.delete(place)
      place = { member, queue: this, isTaken: true }
    }
    if (!place.isTaken) return place
    place.isTaken = false
    this.#places.push(place)
    this.#size++
    return place
  }

  /** The place cannot be used again. */
  delete(place: Place): void {
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
