import { posix } from 'node:path'
import { lineAt, readSource } from './source-text.ts'

/** One import or re-export as written. */
export type Link = {
  /** As written: `./a.ts`, `node:fs`, `zod`. */
  readonly specifier: string
  /** Names taken from it; `*` stands for all of them. */
  readonly names: readonly string[]
  readonly line: number
}

export type ModuleLinks = { readonly imports: readonly Link[]; readonly exports: ReadonlyMap<string, number> }

const FROM = /^(import|export)\s+(?:type\s+)?([^'=;()]*?)\s*\bfrom\s*'(\d+)'/gm
const FOR_EFFECT = /^import\s*'(\d+)'/gm
const DYNAMIC = /\bimport\(\s*'(\d+)'\s*\)/g
const BY_URL = /\bnew URL\(\s*'(\d+)',\s*import\.meta\.url\s*\)/g
const DECLARATION =
  /^export\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:function\s*\*?|class|const|let|type|interface|enum)\s+([\w$]+)/gm
const EXPORT_LIST = /^export\s+(?:type\s+)?\{([^}]*)\}/gm

/** What a module takes and what it offers, each with its line. */
export function linksOf(text: string): ModuleLinks {
  const { code, literals } = readSource(text)
  const imports: Link[] = []
  const exports = new Map<string, number>()
  const link = (match: RegExpMatchArray, literal: string, names: string[]) => {
    imports.push({ specifier: literals[Number(literal)], names, line: lineAt(code, match.index ?? 0) })
  }
  for (const match of code.matchAll(FROM)) link(match, match[3], takenNames(match[2]))
  for (const match of code.matchAll(FOR_EFFECT)) link(match, match[1], [])
  for (const match of code.matchAll(DYNAMIC)) link(match, match[1], ['*'])
  for (const match of code.matchAll(BY_URL)) {
    if (/^\.{1,2}\/.*\.ts$/.test(literals[Number(match[1])])) link(match, match[1], ['*'])
  }
  for (const match of code.matchAll(DECLARATION)) exports.set(match[1], lineAt(code, match.index))
  for (const match of code.matchAll(EXPORT_LIST)) {
    for (const { as } of namesIn(match[1])) exports.set(as, lineAt(code, match.index))
  }
  return { imports, exports }
}

/** The file that a relative specifier names, as a path from the root; null for packages and `node:`. */
export function targetOf(fromPath: string, specifier: string): string | null {
  return specifier.startsWith('.') ? posix.join(posix.dirname(fromPath), specifier) : null
}

function takenNames(clause: string): string[] {
  const list = /\{([^}]*)\}/.exec(clause)
  const named = list ? namesIn(list[1]).map(({ name }) => name) : []
  const rest = clause.replace(/\{[^}]*\}/, '')
  if (rest.includes('*')) return [...named, '*']
  return /[\w$]/.test(rest) ? [...named, 'default'] : named
}

function namesIn(list: string): { name: string; as: string }[] {
  return list
    .split(',')
    .map(item => item.trim().replace(/^type\s+/, ''))
    .filter(item => item !== '')
    .map(item => {
      const [name, as = name] = item.split(/\s+as\s+/)
      return { name, as }
    })
}
