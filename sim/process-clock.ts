import type { EventQueue } from './event-queue.ts'

/** What a process takes for the time, in milliseconds: that of the world, and how far its machine's clock has jumped ahead of it. */
export class ProcessClock {
  readonly #queue: EventQueue
  #aheadMs = 0
  #jumpedAt = Number.NEGATIVE_INFINITY

  constructor(queue: EventQueue) {
    this.#queue = queue
  }

  now(): number {
    return this.#queue.now * 1000 + this.#aheadMs
  }

  /** When it last jumped, in seconds of the world. */
  get jumpedAt(): number {
    return this.#jumpedAt
  }

  /** As after a virtual machine was suspended. The clock is monotonic: it never goes back. What is scheduled comes as if nothing had happened. */
  jump(seconds: number): void {
    this.#aheadMs += seconds * 1000
    this.#jumpedAt = this.#queue.now
  }
}
