/** Actions under the same key run one after another, in the order in which they were asked for; a failure does not stop the next. */
export class Turns<Key> {
  readonly #last = new Map<Key, Promise<void>>()

  /** Keys under which something runs or waits. */
  get size(): number {
    return this.#last.size
  }

  /** Resolves when all that was asked for so far has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#last.values())
  }

  run<T>(key: Key, action: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(key) ?? Promise.resolve()).then(action)
    const turn = result.then(
      () => {},
      () => {},
    )
    this.#last.set(key, turn)
    void turn.then(() => {
      if (this.#last.get(key) === turn) this.#last.delete(key)
    })
    return result
  }
}
