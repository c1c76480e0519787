/** What is to happen, by time; what is due at the same time happens in the order in which it was scheduled. A binary heap. */

export type Scheduled = {
  readonly at: number
  readonly order: number
  action: (() => void) | null
}

export class EventQueue {
  readonly #heap: Scheduled[] = []
  #now = 0
  #nextOrder = 0

  /** Seconds. */
  get now(): number {
    return this.#now
  }

  get isEmpty(): boolean {
    return this.#heap.length === 0
  }

  /** Runs `action` after `delay` seconds. Setting its `action` to null cancels it. */
  after(delay: number, action: () => void): Scheduled {
    return this.at(this.#now + delay, action)
  }

  /** Runs `action` at `at`, or as soon as possible if that is past. */
  at(at: number, action: () => void): Scheduled {
    const entry = { at: Math.max(at, this.#now), order: this.#nextOrder++, action }
    this.#push(entry)
    return entry
  }

  /** Runs what is next. Returns false if there was nothing. */
  step(): boolean {
    for (;;) {
      const next = this.#pop()
      if (!next) return false
      if (!next.action) continue
      this.#now = next.at
      next.action()
      return true
    }
  }

  #push(entry: Scheduled): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (isBefore(heap[parent], entry)) break
      heap[at] = heap[parent]
      at = parent
    }
    heap[at] = entry
  }

  #pop(): Scheduled | null {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!last || !first) return null
    if (heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++
      if (isBefore(last, heap[child])) break
      heap[at] = heap[child]
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
