/** Numbers for the names of zones. Who names none is in zone 0, and so is who comes with a new name when there are very many. */
export class Zones {
  readonly #numbers = new Map<string, number>()

  numberOf(name: string | null): number {
    if (name === null || name === '') return NOWHERE
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    if (this.#numbers.size >= ZONES_MAX) return NOWHERE
    const number = this.#numbers.size + 1
    this.#numbers.set(name, number)
    return number
  }
}

const NOWHERE = 0
const ZONES_MAX = 1_024
