/** A set of a few numbers, in the order in which they came. Empty it takes next to no memory; each call looks at all of them. */
export class SmallSet {
  #numbers: readonly number[] = NONE

  get size(): number {
    return this.#numbers.length
  }

  has(number: number): boolean {
    return this.#numbers.includes(number)
  }

  add(number: number): void {
    if (!this.has(number)) this.#numbers = [...this.#numbers, number]
  }

  /** Returns whether it was there. */
  delete(number: number): boolean {
    if (!this.has(number)) return false
    this.#numbers = this.#numbers.filter(other => other !== number)
    return true
  }

  [Symbol.iterator](): Iterator<number> {
    return this.#numbers.values()
  }
}

/** The same one for all that are empty. */
const NONE: readonly number[] = []
