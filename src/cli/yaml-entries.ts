import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { DragonflyError } from '../core/error.ts'
import type { Entry } from './dfget-config-file.ts'

/**
 * The keys of a YAML mapping with their values as they are written; a nested mapping's keys follow a dot. A key without value is left out.
 * @throws DragonflyError CONFIG_INVALID
 */
export function parseYamlEntries(file: string, text: string): Entry[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const lineOf = (offset: number) => lines.linePos(offset).line
  const refuse = (offset: number, what: string): never => {
    throw new DragonflyError('CONFIG_INVALID', `${file}:${lineOf(offset)}: ${what}`)
  }
  const [error] = document.errors
  if (error) refuse(error.pos[0], error.message)

  const textOf = (node: Node): string => {
    if (!isScalar(node)) return refuse(node.range![0], 'a plain value is wanted here')
    return typeof node.value === 'string' ? node.value : (node.source ?? String(node.value))
  }
  const entriesOf = (node: Node | null, prefix: string): Entry[] => {
    if (node === null || (isScalar(node) && node.value === null)) return []
    if (!isMap<Node, Node | null>(node))
      return refuse(node.range![0], 'a mapping of keys to values is wanted here')
    return node.items.flatMap(({ key, value }) => {
      const entry = { key: prefix + textOf(key), line: lineOf(key.range![0]) }
      if (value === null || (isScalar(value) && value.value === null)) return [{ ...entry, texts: [] }]
      if (isMap(value)) return entriesOf(value, `${entry.key}.`)
      return [{ ...entry, texts: isSeq<Node>(value) ? value.items.map(textOf) : [textOf(value)] }]
    })
  }
  return entriesOf(document.contents, '')
}
