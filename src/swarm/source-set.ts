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

  /** Shows up to `count` of them to `look`, beginning anywhere, until it has seen enough. Who is busy is taken out. */
  sample(random: Random, count: number, look: (member: Member) => 'next' | 'busy' | 'enough'): void {
    if (this.#members.length === 0) return
    let place = pickIndex(random, this.#members.length)
    for (let looks = Math.min(count, this.#members.length); looks > 0 && this.#members.length > 0; looks--) {
      if (place >= this.#members.length) place = 0
      const member = this.#members[place]
      const verdict = look(member)
      if (verdict === 'enough') return
      if (verdict === 'busy') this.delete(member)
      else place++
    }
  }
}
