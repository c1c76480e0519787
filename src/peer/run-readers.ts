import type { Reader } from '../transfer/reader.ts'

type Watching = { readonly reader: Reader; readonly onChange: () => void }

/**
 * Who reads a run's content while it comes. What the latest of them needs comes first. The others' pieces come all the same, as everything
 * outside of the latest one's window does, and are first again when that one has gone.
 */
export class RunReaders {
  readonly #watching: Watching[] = []
  readonly #onMoved: (reader: Reader) => void
  #latest: Reader | null

  /** @param first for whom the run begins */
  constructor(first: Reader | null, onMoved: (reader: Reader) => void) {
    this.#latest = first
    this.#onMoved = onMoved
  }

  /** The returned function ends it. @param onChange when something has happened that may have brought more to read */
  join(reader: Reader, onChange: () => void): () => void {
    const watching = { reader, onChange }
    this.#watching.push(watching)
    this.#follow()
    return () => {
      const at = this.#watching.indexOf(watching)
      if (at >= 0) this.#watching.splice(at, 1)
      this.#follow()
    }
  }

  /** Something has happened. */
  tell(): void {
    for (const { onChange } of this.#watching) onChange()
  }

  #follow(): void {
    const latest = this.#watching.at(-1)?.reader
    if (!latest) return
    const { lookAhead, fromByte } = this.#latest ?? {}
    this.#latest = latest
    if (latest.lookAhead !== lookAhead || latest.fromByte !== fromByte) this.#onMoved(latest)
  }
}
