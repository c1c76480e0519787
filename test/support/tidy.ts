import { builtinModules } from 'node:module'
import { linksOf, targetOf } from './module-links.ts'
import { lineAt, readSource } from './source-text.ts'

/** The house rules as functions from files to findings; a finding reads `path:line what is wrong`. */

export type SourceFile = { readonly path: string; readonly text: string }

/** What the modules of a room may import besides their own room. `packages: null` means every runtime dependency and `node:*`. */
export type Layer = { readonly rooms: readonly string[]; readonly packages: readonly string[] | null }

const LEAVES = ['core', 'wire', 'store', 'origin', 'net', 'ops']

export const LAYERS: Readonly<Record<string, Layer>> = {
  core: { rooms: [], packages: [] },
  wire: { rooms: ['core'], packages: ['msgpackr', 'zod'] },
  swarm: { rooms: ['core', 'wire'], packages: [] },
  transfer: { rooms: ['core', 'wire'], packages: [] },
  store: { rooms: ['core', 'wire'], packages: null },
  origin: { rooms: ['core', 'wire', 'net'], packages: null },
  net: { rooms: ['core', 'wire'], packages: null },
  ops: { rooms: ['core', 'wire', 'package.json'], packages: null },
  peer: { rooms: [...LEAVES, 'transfer'], packages: null },
  supernode: { rooms: [...LEAVES, 'swarm', 'peer'], packages: null },
  dfdaemon: { rooms: ['core', 'wire', 'origin', 'net', 'ops'], packages: null },
  manager: { rooms: ['core', 'wire', 'origin', 'net', 'ops'], packages: null },
  sim: { rooms: ['core', 'wire', 'swarm', 'transfer', 'peer', 'supernode'], packages: null },
  cli: {
    rooms: [...LEAVES, 'swarm', 'transfer', 'peer', 'supernode', 'dfdaemon', 'manager', 'sim'],
    packages: null,
  },
}

const PURE = /^src\/(?:core|wire|swarm|transfer)\//
const TIME_AND_CHANCE = /^src\/ops\/system-(?:clock|random)\.ts$/

type Ban = { readonly pattern: RegExp; readonly where: (path: string) => boolean; readonly says: string }

const inProduct = (path: string) => path.startsWith('src/') && !isTest(path)

const inSim = (path: string) => path.startsWith('sim/') && !isTest(path)
/** The simulator's entry measures how long its trials take; within a trial there is no time but the trial's. */
const SIM_ENTRY = 'sim/seeds.ts'

const CODE_BANS: readonly Ban[] = [
  {
    pattern: /(?<![\w.])process\s*\.\s*(?:env|argv)\b|\{[^{}]*\b(?:env|argv)\b[^{}]*\}\s*=\s*process\b/g,
    where: path => inProduct(path) && !path.startsWith('src/cli/'),
    says: 'environment and arguments are read in cli/ only',
  },
  {
    pattern:
      /(?<![\w.])(?:globalThis\.)?(?:Date\.now\b|new\s+Date\b|performance\.|set(?:Timeout|Interval)\b|Math\.random\b|AbortSignal\.timeout\b)/g,
    where: path => (inProduct(path) && !TIME_AND_CHANCE.test(path)) || (inSim(path) && path !== SIM_ENTRY),
    says: 'time and chance are arguments: take a Clock or a Random',
  },
  {
    pattern: /(?<![\w.])(?:setImmediate|queueMicrotask)\b/g,
    where: path => inProduct(path) && PURE.test(path),
    says: 'pure rooms schedule nothing',
  },
  { pattern: /^export\s+default\b/gm, where: () => true, says: 'no default exports' },
  { pattern: /^export\s+(?:type\s+)?\*/gm, where: () => true, says: 'no barrels' },
  { pattern: /\.(?:skip|only|todo)\(/g, where: () => true, says: 'every test runs' },
  {
    pattern: /\bimport\s+fc\b/g,
    where: path => path !== 'test/support/properties.ts',
    says: 'properties have the same examples in every run: take fc from test/support/properties.ts',
  },
  { pattern: /\bas\s+any\b|<any>/g, where: () => true, says: 'a type that is unknown is `unknown`' },
]

/** Their letters are bracketed so that this file does not break its own rules. */
const TEXT_BANS: readonly Ban[] = [
  { pattern: /\b(?:TO[D]O|FIX[M]E)\b/g, where: () => true, says: 'do it, or write it down as an issue' },
  { pattern: /@ts-(?:ignor[e]|nochec[k])\b/g, where: () => true, says: 'the type checker is not silenced' },
]

/** Imports between rooms, and of packages, are those of the table. Tests may import what they like. */
export function checkLayers(files: readonly SourceFile[], dependencies: readonly string[]): string[] {
  return files
    .filter(file => roomOf(file.path) !== null && !isTest(file.path))
    .flatMap(file => {
      const room = roomOf(file.path) as string
      const layer = LAYERS[room]
      if (!layer) return [`${file.path}:1 the room "${room}" is not in the table of layers`]
      return linksOf(file.text).imports.flatMap(({ specifier, line }) => {
        const target = targetOf(file.path, specifier)
        const mayImport =
          target === null
            ? mayImportPackage(layer, specifier, dependencies)
            : [room, ...layer.rooms].includes(roomOf(target) ?? target)
        return mayImport ? [] : [`${file.path}:${line} ${room} may not import ${target ?? specifier}`]
      })
    })
}

function mayImportPackage(layer: Layer, specifier: string, dependencies: readonly string[]): boolean {
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  if (layer.packages !== null) return layer.packages.includes(name)
  if (/^node:(?:timers|perf_hooks)\b/.test(specifier)) return false
  return specifier.startsWith('node:') || (dependencies.includes(name) && !builtinModules.includes(name))
}

/** Calls and words that have one allowed place, or none. */
export function checkBans(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => {
    const { code } = readSource(text)
    const find = (bans: readonly Ban[], subject: string) =>
      bans
        .filter(ban => ban.where(path))
        .flatMap(({ pattern, says }) =>
          [...subject.matchAll(pattern)].map(match => `${path}:${lineAt(subject, match.index)} ${says}`),
        )
    return [...find(CODE_BANS, code), ...find(TEXT_BANS, text)]
  })
}

/** Kebab-case, one noun that says something. */
export function checkNames(paths: readonly string[]): string[] {
  return paths.flatMap(path => {
    const segments = path.split('/')
    const file = segments.pop() ?? ''
    const stem = file.replace(/(?:\.test|\.d)?\.\w+$/, '')
    const findings: string[] = []
    if (file === 'index.ts') findings.push(`${path}:1 no barrels`)
    for (const segment of [...segments, stem]) {
      if (!/^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(segment))
        findings.push(`${path}:1 "${segment}" is not kebab-case`)
      if (/^(?:utils?|common|helpers?|shared|misc)$/.test(segment)) {
        findings.push(`${path}:1 "${segment}" says nothing about what is inside`)
      }
    }
    return findings
  })
}

/** Files of the product that no entry reaches by imports, tests excepted. */
export function checkDeadFiles(files: readonly SourceFile[], entries: readonly string[]): string[] {
  const byPath = new Map(files.map(file => [file.path, file]))
  const reached = new Set<string>()
  const queue = [...entries]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const file = byPath.get(path)
    if (!file || reached.has(path)) continue
    reached.add(path)
    for (const { specifier } of linksOf(file.text).imports) queue.push(targetOf(path, specifier) ?? '')
  }
  return files
    .filter(({ path }) => inProduct(path) && !reached.has(path))
    .map(({ path }) => `${path}:1 no command reaches this file`)
}

/**
 * Names, values and types alike, that a file of the product or of the simulator exports and no other file imports; a test beside it counts as another file.
 * What only its own file uses needs no `export`. Entries export nothing that anyone must import.
 */
export function checkDeadExports(files: readonly SourceFile[]): string[] {
  const linked = files.map(file => ({ path: file.path, ...linksOf(file.text) }))
  const taken = new Set(
    linked.flatMap(({ path, imports }) =>
      imports.flatMap(({ specifier, names }) => names.map(name => `${targetOf(path, specifier)} ${name}`)),
    ),
  )
  return linked
    .filter(({ path }) => (inProduct(path) || inSim(path)) && !taken.has(`${path} *`))
    .flatMap(({ path, exports }) =>
      [...exports]
        .filter(([name]) => !taken.has(`${path} ${name}`))
        .map(([name, line]) => `${path}:${line} nothing else imports ${name}`),
    )
}

export const SOURCE_LINES_MAX = 400

export function checkLengths(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => !isTest(path))
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > SOURCE_LINES_MAX)
    .map(({ path, lines }) => `${path}:${SOURCE_LINES_MAX + 1} ${lines} lines hold more than one idea`)
}

const TRACES: readonly { pattern: RegExp; says: string }[] = [
  { pattern: /(?<![\w.)}\]])\/(?:wor[k]|roo[t])\//g, says: 'a path of one machine' },
  { pattern: /registry\.(?:npmj[s]|yarnpk[g]|npmmirro[r])\./g, says: 'the host of a package registry' },
  { pattern: /"resolve[d]": "https?:/g, says: 'the host of a package registry' },
]

/** Traces of the machine that a file was written on. */
export function checkTraces(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    TRACES.flatMap(({ pattern, says }) =>
      [...text.matchAll(pattern)].map(match => `${path}:${lineAt(text, match.index)} ${says}`),
    ),
  )
}

function roomOf(path: string): string | null {
  return /^(?:src\/([^/]+)\/|(sim)\/)/.exec(path)?.slice(1).find(Boolean) ?? null
}

function isTest(path: string): boolean {
  return path.endsWith('.test.ts')
}
