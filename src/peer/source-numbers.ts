import type { SourceId } from '../transfer/events.ts'

/** Numbers that the older lives of one source had; by then what was assigned under the first has ended. */
const NUMBERS_MAX = 4
const NONE: readonly number[] = []

/**
 * The supernode's numbers for sources, as it named them on one channel. A source that comes back has a new number at the same address,
 * while pieces assigned under the old one may still be on their way.
 */
export class SourceNumbers {
  readonly #sources = new Map<number, SourceId>()
  readonly #numbers = new Map<SourceId, readonly number[]>()

  name(number: number, source: SourceId): void {
    this.#sources.set(number, source)
    const before = this.#numbers.get(source)
    if (before === undefined) this.#numbers.set(source, [number])
    else {
      const others = before.filter(other => other !== number)
      this.#numbers.set(source, [...others, number].slice(-NUMBERS_MAX))
    }
  }

  sourceOf(number: number): SourceId | undefined {
    return this.#sources.get(number)
  }

  /** All that may be meant; none if the source was never named. */
  numbersOf(source: SourceId): readonly number[] {
    return this.#numbers.get(source) ?? NONE
  }
}
