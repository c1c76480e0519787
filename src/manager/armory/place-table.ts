import type { Clock } from '../../core/clock.ts'
import { toDragonflyError } from '../../core/error.ts'
import { formatCidr, parseCidr, parseIpAddress } from '../../core/ip-address.ts'
import { decodeUtf8, encodeUtf8, hasControlCharacter, oneLine } from '../../core/text.ts'
import type { ArmoryEntry, HostPlace } from '../../wire/manager-api.ts'
import type { ArmoryHost } from './armory.ts'
import { isNamePattern, NameTable } from './name-table.ts'
import { PrefixTable } from './prefix-table.ts'

/** Lines of an armory, compiled for looking up: the longest prefix, and where none fits, the longest host-name pattern. */
export type PlaceTable = {
  /** How many lines it holds; those that say the same again count once. */
  readonly size: number
  /** Null where no line fits. */
  find(host: ArmoryHost): HostPlace | null
}

/** One line as its source has it, counted from 1, or what is wrong with it. */
export type ArmoryLine =
  | { readonly line: number; readonly entry: ArmoryEntry }
  | { readonly line: number; readonly problem: string }

type CompiledLines = {
  /** Of the lines that are good. */
  readonly table: PlaceTable
  /** What is wrong with the others, as one sentence; null where nothing is. */
  readonly problem: string | null
}

export const ARMORY_LINES_MAX = 1_000_000
/** Patterns cost memory by their letters, and those with more than one `*` time at each look-up. */
const WILDCARDS_MAX = 100_000
const PROBLEMS_SHOWN = 10
const PLACE_LENGTH_MAX = 256
/** After so long other work of the process comes in between; the clock is asked after so many lines. */
const SLICE_MS = 10
const SLICE_LINES = 64

/** Reads the lines bit by bit: a million of them do not keep the process from answering. */
export async function compilePlaceTable(lines: Iterable<ArmoryLine>, clock: Clock): Promise<CompiledLines> {
  const builder = new Builder()
  let sliceEndsMs = clock.now() + SLICE_MS
  let count = 0
  for (const line of lines) {
    if (++count > ARMORY_LINES_MAX) {
      builder.refuse(line.line, `there are more than ${ARMORY_LINES_MAX} lines; name larger networks`)
      break
    }
    if ('problem' in line) builder.refuse(line.line, line.problem)
    else builder.add(line.line, line.entry)
    if (count % SLICE_LINES === 0 && clock.now() >= sliceEndsMs) {
      await new Promise<void>(resolve => setImmediate(resolve))
      sliceEndsMs = clock.now() + SLICE_MS
    }
  }
  return builder.finish()
}

/** What is wrong with an entry by itself; null where nothing is. */
export function problemOfEntry(entry: ArmoryEntry): string | null {
  const { cidr, hostName } = entry
  if ((cidr === null) === (hostName === null)) return 'one of cidr and hostName is wanted'
  for (const part of PLACE_PARTS) {
    const text = entry[part]
    if (text === null) continue
    if (text === '' || text.length > PLACE_LENGTH_MAX)
      return `${part} has 1 to ${PLACE_LENGTH_MAX} characters`
    if (hasControlCharacter(text)) return `${part} holds a control character`
  }
  if (hostName !== null && !isNamePattern(hostName))
    return `"${excerpt(hostName)}" is not a host name, in which * stands for any text`
  if (cidr === null) return null
  try {
    parseCidr(cidr)
    return null
  } catch (thrown) {
    return excerpt(toDragonflyError(thrown).message)
  }
}

const PLACE_PARTS = ['securityDomain', 'idc', 'location', 'rack'] as const

class Builder {
  readonly #prefixes = new PrefixTable()
  readonly #names = new NameTable()
  readonly #places = new Places()
  /** By the number of a line in the tables. */
  readonly #placeOf: number[] = []
  readonly #lineOf: number[] = []
  readonly #problems: string[] = []
  #problemCount = 0
  #isFullOfPatterns = false

  refuse(line: number, problem: string): void {
    this.#problemCount++
    if (this.#problems.length < PROBLEMS_SHOWN) this.#problems.push(`line ${line}: ${problem}`)
  }

  add(line: number, entry: ArmoryEntry): void {
    const problem = problemOfEntry(entry)
    if (problem !== null) return this.refuse(line, problem)
    if (entry.hostName?.includes('*') && this.#names.wildcardCount >= WILDCARDS_MAX) {
      if (!this.#isFullOfPatterns) this.refuse(line, `there are more than ${WILDCARDS_MAX} patterns with *`)
      this.#isFullOfPatterns = true
      return
    }
    const place = this.#places.numberOf(entry)
    const number = this.#placeOf.length
    const earlier =
      entry.cidr === null
        ? this.#names.add(ownCopy(entry.hostName!), number)
        : this.#prefixes.add(parseCidr(entry.cidr), number)
    if (earlier === null) {
      this.#placeOf.push(place)
      this.#lineOf.push(line)
    } else if (this.#placeOf[earlier] !== place) {
      const what = entry.cidr === null ? excerpt(entry.hostName!) : formatCidr(parseCidr(entry.cidr))
      this.refuse(line, `${what} has another place in line ${this.#lineOf[earlier]}`)
    }
  }

  finish(): CompiledLines {
    const [prefixes, names, places] = [this.#prefixes, this.#names, this.#places.all]
    const placeOf = Uint32Array.from(this.#placeOf)
    const table: PlaceTable = {
      size: placeOf.length,
      find({ hostName, addresses }) {
        const number = prefixes.find(parseAddresses(addresses)) ?? names.find(hostName)
        return number === null ? null : places[placeOf[number]]
      },
    }
    const more = this.#problemCount - this.#problems.length
    const shown = more > 0 ? [...this.#problems, `and ${more} more`] : this.#problems
    return { table, problem: shown.length === 0 ? null : shown.join('; ') }
  }
}

/** Each place once: many lines name the same few. */
class Places {
  readonly all: HostPlace[] = []
  readonly #numbers = new Map<string, number>()

  numberOf({ securityDomain, idc, location, rack }: HostPlace): number {
    // No part holds a line feed, and none is empty.
    const key = `${securityDomain ?? ''}\n${idc ?? ''}\n${location ?? ''}\n${rack ?? ''}`
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    const [domain, ...others] = ownCopy(key)
      .split('\n')
      .map(part => (part === '' ? null : part))
    const number = this.all.length
    this.#numbers.set(key, number)
    this.all.push({ securityDomain: domain, idc: others[0], location: others[1], rack: others[2] })
    return number
  }
}

/** What is cut out of a file's text keeps all of it in memory. */
function ownCopy(text: string): string {
  return decodeUtf8(encodeUtf8(text))
}

function parseAddresses(texts: readonly string[]) {
  return texts.flatMap(text => parseIpAddress(text) ?? [])
}

function excerpt(text: string): string {
  const line = oneLine(text)
  return line.length > EXCERPT_LENGTH ? `${line.slice(0, EXCERPT_LENGTH)}…` : line
}

const EXCERPT_LENGTH = 160
