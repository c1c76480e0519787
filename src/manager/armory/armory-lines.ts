import { extname } from 'node:path'
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, Scalar } from 'yaml'
import { oneLine } from '../../core/text.ts'
import type { ArmoryEntry } from '../../wire/manager-api.ts'
import { csvRecords } from './csv.ts'
import type { ArmoryLine } from './place-table.ts'

/** The lines of an armory file, CSV or YAML by the name's ending. They are read as they are taken. */
export function armoryLines(file: string, text: string): Iterable<ArmoryLine> {
  const extension = extname(file).toLowerCase()
  // What some editors put before UTF-8.
  const content = text.startsWith('\ufeff') ? text.slice(1) : text
  if (extension === '.csv') return csvLines(content)
  if (extension === '.yaml' || extension === '.yml') return yamlLines(content)
  return [{ line: 1, problem: 'the name ends neither with .csv nor with .yaml or .yml' }]
}

const COLUMNS = ['cidr', 'hostName', 'securityDomain', 'idc', 'location', 'rack'] as const
type Column = (typeof COLUMNS)[number]

function* csvLines(text: string): Generator<ArmoryLine> {
  let header: readonly Column[] | null = null
  for (const record of csvRecords(text)) {
    if ('problem' in record) yield record
    else if (header === null) {
      const problem = problemOfHeader(record.values)
      if (problem !== null) return yield { line: record.line, problem }
      header = record.values as readonly Column[]
    } else if (record.values.length !== header.length) {
      const problem = `${record.values.length} values, but the header has ${header.length} columns`
      yield { line: record.line, problem }
    } else {
      const entry = emptyEntry()
      for (const [index, value] of record.values.entries()) if (value !== '') entry[header[index]] = value
      yield { line: record.line, entry }
    }
  }
  if (header === null) yield { line: 1, problem: `there is no header line like ${COLUMNS.join(',')}` }
}

function problemOfHeader(columns: readonly string[]): string | null {
  const known = COLUMNS as readonly string[]
  const unknown = columns.find(column => !known.includes(column))
  if (unknown !== undefined)
    return `the header has the column "${oneLine(unknown).slice(0, 64)}"; known are ${known.join(', ')}`
  if (new Set(columns).size !== columns.length) return 'the header has a column twice'
  return columns.includes('cidr') || columns.includes('hostName')
    ? null
    : 'the header has neither cidr nor hostName'
}

function emptyEntry(): ArmoryEntry {
  return { cidr: null, hostName: null, securityDomain: null, idc: null, location: null, rack: null }
}

/** Parsing takes some 100 µs per entry; files that are larger have a faster format. */
const YAML_ENTRIES_MAX = 100_000
const BATCH_ENTRIES = 100
const BATCH_CHARACTERS_MAX = 1024 * 1024

/**
 * A list of mappings. Lines that begin with `- ` are where entries of the outermost list begin, so the text is parsed in batches of whole
 * entries: the parser's tree of a large file is never in memory as a whole, and other work can be done in between.
 */
function* yamlLines(text: string): Generator<ArmoryLine> {
  let count = 0
  for (const batch of yamlBatches(text)) {
    if (batch.text.length > BATCH_CHARACTERS_MAX) {
      const problem = `${BATCH_ENTRIES} entries are too long; begin each at the start of a line with "- ", or use CSV`
      return yield { line: batch.line, problem }
    }
    for (const line of parseBatch(batch)) {
      if (++count > YAML_ENTRIES_MAX) {
        const problem = `there are more than ${YAML_ENTRIES_MAX} entries; use CSV for so many`
        return yield { line: line.line, problem }
      }
      yield line
    }
  }
}

type Batch = { readonly text: string; readonly line: number }

function* yamlBatches(text: string): Generator<Batch> {
  const border = /^- /gm
  let start = 0
  let line = 1
  for (;;) {
    for (let entries = 0; entries < BATCH_ENTRIES && border.exec(text) !== null; entries++);
    const found = border.lastIndex === 0 ? null : border.exec(text)
    const end = found?.index ?? text.length
    const part = text.slice(start, end)
    yield { text: part, line }
    if (found === null) return
    border.lastIndex = end
    start = end
    line += part.split('\n').length - 1
  }
}

function parseBatch(batch: Batch): ArmoryLine[] {
  const counter = new LineCounter()
  const document = parseDocument<Node>(batch.text, {
    schema: 'failsafe',
    lineCounter: counter,
    prettyErrors: false,
  })
  const lineAt = (offset: number) => batch.line + counter.linePos(offset).line - 1
  const [error] = document.errors
  if (error) {
    const problem = error.code === 'MULTIPLE_DOCS' ? 'a second document begins here' : oneLine(error.message)
    return [{ line: lineAt(error.pos[0]), problem }]
  }
  const { contents } = document
  if (!isSeq<Node>(contents)) {
    const line = contents?.range ? lineAt(contents.range[0]) : batch.line
    return [{ line, problem: 'a list of entries is wanted; an armory without any is []' }]
  }
  return contents.items.map(item => {
    const line = item?.range ? lineAt(item.range[0]) : batch.line
    const entry = entryOf(item)
    return typeof entry === 'string' ? { line, problem: entry } : { line, entry }
  })
}

/** The entry, or what is wrong with it. */
function entryOf(item: Node): ArmoryEntry | string {
  if (!isMap<Node, Node | null>(item)) return 'an entry is a mapping, like { cidr: 10.0.0.0/8, idc: north }'
  const entry = emptyEntry()
  for (const { key, value } of item.items) {
    const name = isScalar(key) ? String(key.value) : ''
    if (!isColumn(name)) return `unknown key "${oneLine(name).slice(0, 64)}"; known are ${COLUMNS.join(', ')}`
    if (value === null || isNothing(value)) continue
    if (!isScalar(value)) return `${name} is a plain text`
    entry[name] = String(value.value)
  }
  return entry
}

function isColumn(name: string): name is Column {
  return (COLUMNS as readonly string[]).includes(name)
}

/** Without a schema, what is left out, `~` and `null` are texts; in quotes they mean themselves. */
function isNothing(value: Node): boolean {
  return isScalar(value) && value.type === Scalar.PLAIN && ['', '~', 'null'].includes(String(value.value))
}
