import { isDeepStrictEqual } from 'node:util'
import { parse, TomlDate, type TomlTable } from 'smol-toml'
import { unreadable } from './runtime-setup.ts'

/** A TOML text as lines that can be moved about without touching comments, order or spelling. */

export type TomlLine = {
  /** With what ends it; a value that goes over many lines is one. */
  readonly text: string
  /** Of a line like `[a.b]` or `[[a.b]]`: its path. */
  readonly header: readonly string[] | null
  /** Whether it gives a key a value. */
  readonly isPair: boolean
}

/** @throws DragonflyError CONFIG_INVALID */
export function parseToml(path: string, text: string): TomlTable {
  try {
    return plain(parse(text)) as TomlTable
  } catch (thrown) {
    // The error's own text shows the lines around, and those may hold a secret.
    const { line } = thrown as { line?: number }
    throw unreadable(path, `cannot be read: it is not TOML${line === undefined ? '' : `, see line ${line}`}`)
  }
}

/** As objects that compare by what they hold: the parser's own have no prototype, and its dates keep their spelling. */
function plain(value: unknown): unknown {
  if (value instanceof TomlDate) return value.toISOString()
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}

/** The text must be TOML. */
export function tomlLines(text: string): TomlLine[] {
  const lines: TomlLine[] = []
  let start = 0
  let depth = 0
  let isHeader = false
  let isEmpty = true
  const finish = (end: number) => {
    const line = text.slice(start, end)
    if (line !== '')
      lines.push({ text: line, header: isHeader ? headerPath(line) : null, isPair: !isHeader && !isEmpty })
    start = end
    isHeader = false
    isEmpty = true
  }
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token === '\n' && depth === 0) finish(index + 1)
    else if (!/^(?:\s|#)/.test(token)) {
      if (isEmpty && token === '[') isHeader = true
      isEmpty = false
      if (/^[[{]/.test(token)) depth++
      if (/^[\]}]/.test(token)) depth--
    }
  }
  finish(text.length)
  return lines
}

/** Strings of both kinds over many lines and on one, comments, brackets, and everything else. */
const TOKEN =
  /"""(?:[^\\]|\\[\s\S])*?"{3,5}|'''[\s\S]*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|\n|[[\]{}]|[^\S\n]+|[^\s"'#[\]{}]+/g

function headerPath(line: string): string[] {
  const path: string[] = []
  let table: unknown = parse(line)
  for (;;) {
    if (Array.isArray(table)) table = table[0]
    const [key] = Object.keys(table as object)
    if (key === undefined) return path
    path.push(key)
    table = (table as TomlTable)[key]
  }
}

export function isPath(header: readonly string[] | null, path: readonly string[]): boolean {
  return header !== null && isDeepStrictEqual(header, path)
}

/** A table that is part of a table with this path, or that table. */
export function isWithin(header: readonly string[] | null, path: readonly string[]): boolean {
  return header !== null && isDeepStrictEqual(header.slice(0, path.length), path)
}

/** Index after the last pair that belongs to the header at an index: comments that follow belong to what comes then. */
export function endOfTable(lines: readonly TomlLine[], header: number): number {
  let end = header + 1
  for (let i = end; i < lines.length && lines[i].header === null; i++) if (lines[i].isPair) end = i + 1
  return end
}

/** Where new lines may go in front of a header: before the comments that stand directly above it. */
export function aboveHeader(lines: readonly TomlLine[], header: number): number {
  let index = header
  while (index > 0 && /^\s*#/.test(lines[index - 1].text)) index--
  return index
}

export function joinLines(lines: readonly (TomlLine | string)[]): string {
  return lines.map(line => (typeof line === 'string' ? line : line.text)).join('')
}

/** A comment or a last line may lack its end. */
export function endedLine(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}

export function quoted(text: string): string {
  // A JSON string is a basic string of TOML (section "String") but for U+007F, which names and paths do not hold.
  return JSON.stringify(text)
}

/**
 * The proof of an edit: read again, it says what was meant and nothing else has changed.
 * @throws DragonflyError CONFIG_INVALID where the file is written in a way that cannot be edited so
 */
export function checkEdited(path: string, edited: string, meant: TomlTable): string {
  let read: TomlTable | null = null
  try {
    read = plain(parse(edited)) as TomlTable
  } catch {
    // A table that is written inline may not be added to (section "Inline Table").
  }
  if (read !== null && isDeepStrictEqual(read, meant)) return edited
  throw unreadable(path, 'is written in a way that is not edited by a program')
}
