/** What is to happen, by time; what is due at the same time happens in the order in which it was scheduled. */

export type Scheduled = { action: (() => void) | null }

const CAPACITY = 1_024
/** Children of a place in the heap: a flat heap moves less, and the times of all children lie side by side. */
const ARITY = 4

/** Entries of the past that stay in their list, because emptying it costs more than an event does. */
const DUE_KEPT = 1_024

/** A heap of plain numbers: finding the next event does not visit the events that wait, and the garbage collector is told of none of its moves. */
export class EventQueue {
  #times = new Float64Array(CAPACITY)
  #orders = new Float64Array(CAPACITY)
  /** Where in `#entries` the event is. */
  #places = new Uint32Array(CAPACITY)
  #length = 0
  readonly #entries: Scheduled[] = []
  /** Places whose event has happened. */
  readonly #vacant: number[] = []
  /** Scheduled for the present moment while it lasts, so later than all that the heap has for it; from `#firstDue` on. */
  readonly #due: Scheduled[] = []
  #firstDue = 0
  #now = 0
  #nextOrder = 0

  /** Seconds. */
  get now(): number {
    return this.#now
  }

  get isEmpty(): boolean {
    return this.#length === 0 && this.#firstDue === this.#due.length
  }

  /** Runs `action` after `delay` seconds. Setting its `action` to null cancels it. */
  after(delay: number, action: () => void): Scheduled {
    return this.at(this.#now + delay, action)
  }

  /** Runs `action` at `at`, or as soon as possible if that is past. */
  at(at: number, action: () => void): Scheduled {
    const entry = { action }
    if (at > this.#now) this.#push(at, entry)
    else this.#due.push(entry)
    return entry
  }

  /** Runs what is next. Returns false if there was nothing. */
  step(): boolean {
    while (!this.isEmpty) {
      const isDue = this.#firstDue < this.#due.length
      const isFromHeap = !isDue || (this.#length > 0 && this.#times[0] === this.#now)
      const at = isFromHeap ? this.#times[0] : this.#now
      const { action } = isFromHeap ? this.#pop() : this.#takeDue()
      if (!action) continue
      this.#now = at
      action()
      return true
    }
    return false
  }

  #takeDue(): Scheduled {
    const entry = this.#due[this.#firstDue++]
    if (this.#firstDue === this.#due.length && this.#firstDue >= DUE_KEPT) {
      this.#due.length = 0
      this.#firstDue = 0
    }
    return entry
  }

  #push(time: number, entry: Scheduled): void {
    let at = this.#length++
    if (at === this.#times.length) this.#grow()
    const times = this.#times
    const orders = this.#orders
    const places = this.#places
    const place = this.#vacant.pop() ?? this.#entries.length
    this.#entries[place] = entry
    while (at > 0) {
      const parent = ((at - 1) / ARITY) | 0
      // What comes now was scheduled last, so that equal times need no look at the order.
      if (times[parent] <= time) break
      times[at] = times[parent]
      orders[at] = orders[parent]
      places[at] = places[parent]
      at = parent
    }
    times[at] = time
    orders[at] = this.#nextOrder++
    places[at] = place
  }

  #pop(): Scheduled {
    const times = this.#times
    const orders = this.#orders
    const places = this.#places
    const first = this.#entries[places[0]]
    this.#vacant.push(places[0])
    const length = --this.#length
    const time = times[length]
    const order = orders[length]
    const place = places[length]
    let at = 0
    for (let child = 1; child < length; child = ARITY * at + 1) {
      const end = Math.min(child + ARITY, length)
      for (let other = child + 1; other < end; other++) if (this.#isBefore(other, child)) child = other
      if (time < times[child] || (time === times[child] && order < orders[child])) break
      times[at] = times[child]
      orders[at] = orders[child]
      places[at] = places[child]
      at = child
    }
    times[at] = time
    orders[at] = order
    places[at] = place
    return first
  }

  #isBefore(a: number, b: number): boolean {
    const times = this.#times
    const orders = this.#orders
    return times[a] < times[b] || (times[a] === times[b] && orders[a] < orders[b])
  }

  #grow(): void {
    const length = 2 * this.#times.length
    this.#times = grown(this.#times, new Float64Array(length))
    this.#orders = grown(this.#orders, new Float64Array(length))
    this.#places = grown(this.#places, new Uint32Array(length))
  }
}

function grown<T extends Float64Array | Uint32Array>(from: T, to: T): T {
  to.set(from)
  return to
}
