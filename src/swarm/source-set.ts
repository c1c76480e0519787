import { pickIndex, type Random } from '../core/random.ts'
import type { Member } from './member.ts'

/** Members in no order: any one of them is found, added or taken away at the same cost, however many there are. */
export class SourceSet {
  readonly #members: Member[] = []
  readonly #places = new Map<Member, number>()

  get size(): number {
    return this.#members.length
  }

  at(place: number): Member {
    return this.#members[place]
  }

  add(member: Member): void {
    if (this.#places.has(member)) return
    this.#places.set(member, this.#members.length)
    this.#members.push(member)
  }

  delete(member: Member): void {
    const place = this.#places.get(member)
    if (place === undefined) return
    this.#places.delete(member)
    const last = this.#members.pop()!
    if (last === member) return
    this.#members[place] = last
    this.#places.set(last, place)
  }

  /** Up to `count` of them one after the other, beginning anywhere. */
  sample(random: Random, count: number): Sample {
    return new Sample(this, random, count)
  }
}

class Sample {
  readonly #set: SourceSet
  #place: number
  #left: number

  constructor(set: SourceSet, random: Random, count: number) {
    this.#set = set
    this.#place = set.size > 0 ? pickIndex(random, set.size) - 1 : 0
    this.#left = Math.min(count, set.size)
  }

  /** Null after the last one. */
  next(): Member | null {
    const { size } = this.#set
    if (size === 0 || this.#left-- <= 0) return null
    if (++this.#place >= size) this.#place = 0
    return this.#set.at(this.#place)
  }

  /** Takes out of the set whom `next` has returned. */
  takeOut(): void {
    this.#set.delete(this.#set.at(this.#place))
    // Another one has its place now.
    this.#place--
  }
}
