import { DragonflyError } from '../core/error.ts'

/** One thing that can be set: its flag, its key in the file, its name in the environment, how it reads, and what it is otherwise. */
export type Setting<T> = {
  /** As commander writes them: `-s, --locallimit <rate>`. */
  readonly flags: string
  readonly about: string
  readonly isSwitch: boolean
  /** In the configuration file, with a dot before what is nested. */
  readonly key: string
  /** Belongs to one download, so that neither file nor environment has it. */
  readonly isPerCommand: boolean
  /** Belongs to the resident peer, which is told it when it starts. */
  readonly isOfPeer: boolean
  /** Variables that say the same, the first that is set wins. Ours comes first. */
  readonly environment: readonly string[]
  readonly isList: boolean
  /** Checks one written value. @throws DragonflyError USAGE */
  check(text: string): unknown
  /** What a source says, in the order in which it says it. @throws DragonflyError USAGE */
  compile(texts: readonly string[]): T
  /** @throws DragonflyError where there is none */
  fallback(): T
  /** As it is written, secrets redacted: one text, or several where the setting is a list. Null is not set. */
  show(value: T): string | string[] | null
}

type Scope = { key?: string; isPerCommand?: true; isOfPeer?: true; environment?: readonly string[] }

type Value<T, Fallback> = {
  parse(text: string): T
  readonly fallback: Fallback | (() => Fallback)
  show?(value: NonNullable<T>): string
  /** How null is written; without it null is not set. */
  readonly none?: string
}

/** The last one counts. */
export function value<T, Fallback extends T | null>(
  flags: string,
  about: string,
  how: Value<T, Fallback> & Scope,
): Setting<T | Fallback> {
  const { parse, fallback, show = String, none = null } = how
  return {
    ...described(flags, about, how),
    isSwitch: false,
    isList: false,
    check: parse,
    compile: texts => parse(texts.at(-1)!),
    fallback: () => (typeof fallback === 'function' ? (fallback as () => Fallback)() : fallback),
    show: given => (given === null ? none : show(given as NonNullable<T>)),
  }
}

/** All count, those of one source together. Without a separator each is given by itself. */
export function list<T>(
  flags: string,
  about: string,
  how: {
    parse(text: string): T
    separator?: string
    fallback: readonly T[]
    show?(value: T): string
  } & Scope,
): Setting<readonly T[]> {
  const { parse, separator, fallback, show = String } = how
  const parts = (text: string) =>
    (separator === undefined ? [text] : text.split(separator)).filter(part => part.trim() !== '')
  return {
    ...described(flags, about, how),
    isSwitch: false,
    isList: true,
    check: text => parts(text).map(parse),
    compile(texts) {
      const given = texts.flatMap(parts).map(parse)
      return given.length > 0 ? given : fallback
    },
    fallback: () => fallback,
    show: given => given.map(show),
  }
}

export function toggle(flags: string, about: string, how: Scope = {}): Setting<boolean> {
  return {
    ...described(flags, about, how),
    isSwitch: true,
    isList: false,
    check: parseSwitch,
    compile: texts => parseSwitch(texts.at(-1)!),
    fallback: () => false,
    show: String,
  }
}

/** As Go's flags take it. */
export function parseSwitch(text: string): boolean {
  if (/^(?:true|t|1)$/i.test(text)) return true
  if (/^(?:false|f|0)$/i.test(text)) return false
  throw new DragonflyError('USAGE', `"${text}" is neither true nor false`)
}

/** The name in the table is filled in by `named`. */
function described(flags: string, about: string, how: Scope) {
  const { key = '', isPerCommand = false, isOfPeer = false, environment = [] } = how
  return { flags, about, key, isPerCommand, isOfPeer, environment }
}

/** Gives every setting of a table its key and its variable, from its name where nothing else was said. */
export function named<Table extends Record<string, Setting<unknown>>>(table: Table): Table {
  const rows = Object.entries(table).map(([name, row]) => {
    const key = row.key === '' ? name : row.key
    const own = `DFGET_${key
      .replace(/[A-Z]/g, letter => `_${letter}`)
      .replaceAll('.', '_')
      .toUpperCase()}`
    return [name, { ...row, key, environment: row.isPerCommand ? [] : [own, ...row.environment] }]
  })
  return Object.freeze(Object.fromEntries(rows)) as Table
}
