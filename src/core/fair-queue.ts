type Waiting<Item> = { readonly item: Item; readonly size: number }

/**
 * Many lines before one counter: who comes next is the first of the line that has had the least, so that every line with somebody in it
 * gets the same share, however many stand in it (start-time fair queueing, Goyal, Vin and Cheng 1996). Within a line the order is that
 * of arrival.
 */
export class FairQueue<Item> {
  readonly #lines = new Map<object, Waiting<Item>[]>()
  /** What a line has had, on a scale on which one that was away does not lag behind. */
  readonly #had = new WeakMap<object, number>()
  #position = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(line: object, size: number, item: Item): void {
    const waiting = this.#lines.get(line)
    if (waiting) waiting.push({ item, size })
    else this.#lines.set(line, [{ item, size }])
    this.#length++
  }

  /** A line gets something without waiting. */
  spend(line: object, size: number): void {
    this.#position = this.#start(line)
    this.#had.set(line, this.#position + size)
  }

  shift(): Item | undefined {
    let best: object | null = null
    for (const line of this.#lines.keys()) {
      if (best === null || this.#start(line) < this.#start(best)) best = line
    }
    if (best === null) return undefined
    const waiting = this.#lines.get(best)!
    const { item, size } = waiting.shift()!
    this.#length--
    this.spend(best, size)
    if (waiting.length === 0) this.#lines.delete(best)
    return item
  }

  /** Whether it was there. */
  remove(line: object, item: Item): boolean {
    const waiting = this.#lines.get(line) ?? []
    const index = waiting.findIndex(one => one.item === item)
    if (index < 0) return false
    waiting.splice(index, 1)
    this.#length--
    if (waiting.length === 0) this.#lines.delete(line)
    return true
  }

  #start(line: object): number {
    return Math.max(this.#position, this.#had.get(line) ?? 0)
  }
}
