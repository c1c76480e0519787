import { assert } from '../core/assert.ts'

type Waiter = { sizeBytes: number; grant: (buffer: Uint8Array) => void }

/**
 * Reusable buffers under one budget, in sizes of powers of two. Whoever finds the budget used waits in line; one buffer is always
 * granted, even if it alone is larger than the budget.
 */
export class BufferPool {
  readonly #budgetBytes: number
  readonly #freeBySize = new Map<number, Uint8Array[]>()
  readonly #lent = new Set<Uint8Array>()
  readonly #waiters: Waiter[] = []
  #totalBytes = 0

  constructor(budgetBytes: number) {
    assert(budgetBytes > 0, 'budget is positive')
    this.#budgetBytes = budgetBytes
  }

  /** Bytes held, lent and free together. */
  get totalBytes(): number {
    return this.#totalBytes
  }

  get lentCount(): number {
    return this.#lent.size
  }

  /**
   * A buffer of at least `lengthBytes` with arbitrary content, to be given back by `release`. An aborted wait rejects with the signal's
   * reason.
   */
  acquire(lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    const sizeBytes = sizeFor(lengthBytes)
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const buffer = this.#waiters.length === 0 ? this.#take(sizeBytes) : null
      if (buffer) return resolve(buffer)
      const onAbort = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        reject(signal?.reason)
        this.#serve()
      }
      const waiter: Waiter = {
        sizeBytes,
        grant: granted => {
          signal?.removeEventListener('abort', onAbort)
          resolve(granted)
        },
      }
      this.#waiters.push(waiter)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Takes back the very object that `acquire` gave. */
  release(buffer: Uint8Array): void {
    assert(this.#lent.delete(buffer), 'the buffer was lent by this pool')
    const free = this.#freeBySize.get(buffer.length)
    if (free) free.push(buffer)
    else this.#freeBySize.set(buffer.length, [buffer])
    this.#serve()
    if (this.#totalBytes > this.#budgetBytes) this.#makeRoom(0)
  }

  /** Lets go of all that is not lent. */
  trim(): void {
    for (const [sizeBytes, free] of this.#freeBySize) this.#totalBytes -= sizeBytes * free.length
    this.#freeBySize.clear()
  }

  #serve(): void {
    while (this.#waiters.length > 0) {
      const buffer = this.#take(this.#waiters[0].sizeBytes)
      if (!buffer) return
      this.#waiters.shift()?.grant(buffer)
    }
  }

  #take(sizeBytes: number): Uint8Array | null {
    const buffer = this.#takeFree(sizeBytes) ?? this.#allocate(sizeBytes)
    if (buffer) this.#lent.add(buffer)
    return buffer
  }

  /** The smallest free one that fits. */
  #takeFree(sizeBytes: number): Uint8Array | null {
    let bestBytes = Number.POSITIVE_INFINITY
    for (const [size, free] of this.#freeBySize) {
      if (free.length > 0 && size >= sizeBytes && size < bestBytes) bestBytes = size
    }
    return this.#freeBySize.get(bestBytes)?.pop() ?? null
  }

  #allocate(sizeBytes: number): Uint8Array | null {
    this.#makeRoom(sizeBytes)
    if (this.#totalBytes + sizeBytes > this.#budgetBytes && this.#lent.size > 0) return null
    this.#totalBytes += sizeBytes
    return Buffer.allocUnsafeSlow(sizeBytes)
  }

  /** Drops free buffers until `sizeBytes` more fit the budget, or none is left. */
  #makeRoom(sizeBytes: number): void {
    for (const [size, free] of this.#freeBySize) {
      while (free.length > 0 && this.#totalBytes + sizeBytes > this.#budgetBytes) {
        free.pop()
        this.#totalBytes -= size
      }
    }
  }
}

/** Pieces are powers of two except a task's last one, so few sizes coexist and nearly every buffer is reused. */
function sizeFor(lengthBytes: number): number {
  let sizeBytes = SIZE_BYTES_MIN
  while (sizeBytes < lengthBytes) sizeBytes *= 2
  return sizeBytes
}

const SIZE_BYTES_MIN = 16 * 1024
