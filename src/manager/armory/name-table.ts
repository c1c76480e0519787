/**
 * Host-name patterns to numbers. `*` stands for any text, also for none; case does not matter. Of the patterns that fit a name, the one with
 * the most literal characters wins; of equals the one without `*`, else the one that came first. Names and patterns with one `*` are found by
 * looking up parts of the name; the others hang at one of their literal parts in a tree that is walked from each position of the name. No
 * pattern is ever tried that has not at least that part in common with the name.
 */
export class NameTable {
  /** By the normal form of the whole pattern, for `add`; those without `*` are found here too. */
  readonly #byPattern = new Map<string, number>()
  /** Patterns with one `*`: by what stands before it, then by what stands behind it. */
  readonly #byPrefix = new Map<string, Suffixes>()
  #prefixLengths: readonly number[] = []
  readonly #byPart: PartNode = { next: new Map(), patterns: [] }
  #wildcardCount = 0

  /** How many have a `*`. */
  get wildcardCount(): number {
    return this.#wildcardCount
  }

  /** Adds a pattern, and returns the value of the same pattern that is there already, which stays, or null. */
  add(pattern: string, value: number): number | null {
    const normal = normalName(pattern).replace(/\*{2,}/g, '*')
    const present = this.#byPattern.get(normal)
    if (present !== undefined) return present
    this.#byPattern.set(normal, value)
    const parts = normal.split('*')
    if (parts.length > 1) this.#wildcardCount++
    if (parts.length === 2) this.#addSingle(parts[0], parts[1], value)
    if (parts.length > 2) this.#addMultiple(parts, value)
    return null
  }

  find(hostName: string): number | null {
    const name = normalName(hostName)
    if (name.length > NAME_LENGTH_MAX) return null
    // No pattern that fits says more than the name itself.
    const exact = name.includes('*') ? undefined : this.#byPattern.get(name)
    if (exact !== undefined) return exact
    const single = this.#findSingle(name)
    const multiple = this.#findMultiple(name)
    return better(single, multiple)?.value ?? null
  }

  #addSingle(prefix: string, suffix: string, value: number): void {
    const found = this.#byPrefix.get(prefix)
    const suffixes = found ?? { values: new Map<string, number>(), lengths: [] }
    if (!found) this.#byPrefix.set(prefix, suffixes)
    suffixes.values.set(suffix, value)
    suffixes.lengths = withLength(suffixes.lengths, suffix.length)
    this.#prefixLengths = withLength(this.#prefixLengths, prefix.length)
  }

  #findSingle(name: string): Fit | null {
    let best: Fit | null = null
    for (const prefixLength of this.#prefixLengths) {
      if (prefixLength > name.length) continue
      const suffixes = this.#byPrefix.get(name.slice(0, prefixLength))
      for (const suffixLength of suffixes?.lengths ?? []) {
        if (prefixLength + suffixLength > name.length) continue
        const value = suffixes!.values.get(name.slice(name.length - suffixLength))
        if (value === undefined) continue
        best = better(best, { literals: prefixLength + suffixLength, value })
        break
      }
    }
    return best
  }

  #addMultiple(parts: readonly string[], value: number): void {
    const literals = parts.reduce((sum, part) => sum + part.length, 0)
    // Where the fewest hang already, so that thousands that share a part are told apart by another one.
    const { part } = parts
      .filter(part => part !== '')
      .map(part => ({ part, crowd: nodeAt(this.#byPart, part)?.patterns.length ?? 0 }))
      .reduce((best, one) => (isRarer(one, best) ? one : best))
    let node = this.#byPart
    for (const letter of part) {
      const next = node.next.get(letter) ?? { next: new Map(), patterns: [] }
      node.next.set(letter, next)
      node = next
    }
    node.patterns.push({ parts, literals, value })
  }

  #findMultiple(name: string): Fit | null {
    if (this.#byPart.next.size === 0) return null
    let best: Fit | null = null
    for (let start = 0; start < name.length; start++) {
      let node = this.#byPart.next.get(name[start])
      for (let end = start + 1; node !== undefined; end++) {
        for (const pattern of node.patterns) {
          if (better(best, pattern) === pattern && fits(name, pattern.parts)) best = pattern
        }
        node = end < name.length ? node.next.get(name[end]) : undefined
      }
    }
    return best
  }
}

/** As names are compared: without case, and without the dot of the root. */
function normalName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}

/** Whether it can be looked up: letters, digits, `-`, `_` and `.` of a host name, and `*`. */
export function isNamePattern(pattern: string): boolean {
  return pattern.length <= NAME_LENGTH_MAX && /^[0-9a-z*_.-]+$/i.test(pattern) && pattern !== '.'
}

/** RFC 1035, section 2.3.4. */
const NAME_LENGTH_MAX = 253

/** `lengths` are those that occur, the longest first. */
type Suffixes = { readonly values: Map<string, number>; lengths: readonly number[] }

type Fit = { readonly literals: number; readonly value: number }

type Pattern = Fit & { readonly parts: readonly string[] }

type PartNode = { readonly next: Map<string, PartNode>; readonly patterns: Pattern[] }

function nodeAt(root: PartNode, part: string): PartNode | undefined {
  let node: PartNode | undefined = root
  for (let index = 0; node !== undefined && index < part.length; index++) node = node.next.get(part[index])
  return node
}

function isRarer(one: { part: string; crowd: number }, other: { part: string; crowd: number }): boolean {
  return one.crowd !== other.crowd ? one.crowd < other.crowd : one.part.length > other.part.length
}

/** Values grow with the lines, so that the smaller one came first. */
function better<T extends Fit>(one: Fit | null, other: T | null): Fit | T | null {
  if (one === null || other === null) return one ?? other
  if (one.literals !== other.literals) return one.literals > other.literals ? one : other
  return one.value <= other.value ? one : other
}

function withLength(lengths: readonly number[], length: number): readonly number[] {
  return lengths.includes(length) ? lengths : [...lengths, length].sort((a, b) => b - a)
}

/** Whether the parts follow one another in the name, the first at its start and the last at its end; taking each as early as possible is enough. */
function fits(name: string, parts: readonly string[]): boolean {
  const last = parts[parts.length - 1]
  if (!name.startsWith(parts[0]) || !name.endsWith(last)) return false
  let position = parts[0].length
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, position)
    if (found === -1) return false
    position = found + part.length
  }
  return position + last.length <= name.length
}
