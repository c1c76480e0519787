/**
 * Records of comma-separated values (RFC 4180), one per line: a value in quotes may hold commas and doubled quotes, but no line end. White
 * space around values without quotes does not count; nor do empty lines and those that begin with `#`.
 */
type CsvRecord =
  | { readonly line: number; readonly values: readonly string[] }
  | { readonly line: number; readonly problem: string }

export function* csvRecords(text: string): Generator<CsvRecord> {
  let line = 0
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start)
    const stop = end === -1 ? text.length : end
    const record = text.slice(start, stop).trim()
    start = stop + 1
    line++
    if (record === '' || record.startsWith('#')) continue
    if (record.length > RECORD_LENGTH_MAX) {
      yield { line, problem: `the line has more than ${RECORD_LENGTH_MAX} characters` }
      continue
    }
    const values = record.includes('"') ? quotedValues(record) : record.split(',').map(value => value.trim())
    yield values === null
      ? { line, problem: 'a quote is not closed, or stands inside of a value' }
      : { line, values }
  }
}

const RECORD_LENGTH_MAX = 4096

function quotedValues(record: string): string[] | null {
  const values: string[] = []
  const value = /\s*(?:"((?:[^"]|"")*)"\s*|([^",]*))(,|$)/y
  for (;;) {
    const match = value.exec(record)
    if (match === null) return null
    values.push(match[1] === undefined ? match[2].trim() : match[1].replaceAll('""', '"'))
    if (match[3] === '') return values
  }
}
