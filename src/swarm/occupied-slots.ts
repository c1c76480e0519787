import type { Member, Outstanding } from './member.ts'

type Occupied = { readonly member: Member; readonly entry: Outstanding }

const FREED = Number.POSITIVE_INFINITY

/** Assignments that have a slot of their source, in the order in which they began. */
export class OccupiedSlots {
  #line: Occupied[] = []
  /** Those before it are gone. */
  #first = 0

  add(member: Member, entry: Outstanding): void {
    this.#line.push({ member, entry })
  }

  /** Returns whether it had one. */
  free(entry: Outstanding): boolean {
    const had = entry.slotUntil !== FREED
    entry.slotUntil = FREED
    return had
  }

  /** The first in line if its time is over; as a rule what began first ends first. It stays in line until it is freed. */
  firstExpired(now: number): Occupied | null {
    while (this.#first < this.#line.length && this.#line[this.#first].entry.slotUntil === FREED) this.#first++
    const first = this.#line[this.#first]
    return first && now >= first.entry.slotUntil ? first : null
  }

  /** All whose time is over. What was freed is forgotten: to be called from time to time. */
  allExpired(now: number): Occupied[] {
    this.#line = this.#line.filter(({ entry }) => entry.slotUntil !== FREED)
    this.#first = 0
    return this.#line.filter(({ entry }) => now >= entry.slotUntil)
  }
}
