import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linksOf, targetOf } from './module-links.ts'

test('every form of import is seen with the names that it takes', () => {
  const table: [text: string, specifier: string, names: string[]][] = [
    ["import { a, b as c } from './x.ts'", './x.ts', ['a', 'b']],
    ["import type { A } from './x.ts'", './x.ts', ['A']],
    ["import { type A, b } from './x.ts'", './x.ts', ['A', 'b']],
    ["import {\n  a,\n  b,\n} from './x.ts'", './x.ts', ['a', 'b']],
    ["import assert from 'node:assert/strict'", 'node:assert/strict', ['default']],
    ["import d, { a } from 'pkg'", 'pkg', ['a', 'default']],
    ["import * as x from './x.ts'", './x.ts', ['*']],
    ["import './x.ts'", './x.ts', []],
    ["import data from '../p.json' with { type: 'json' }", '../p.json', ['default']],
    ["export { a } from './x.ts'", './x.ts', ['a']],
    ["export type { A } from './x.ts'", './x.ts', ['A']],
    ["export * from './x.ts'", './x.ts', ['*']],
    ["const { a } = await import('./x.ts')", './x.ts', ['*']],
    ["new Worker(new URL('./x.ts', import.meta.url))", './x.ts', ['*']],
  ]
  for (const [text, specifier, names] of table) {
    assert.deepEqual(linksOf(text).imports, [{ specifier, names, line: 1 }], text)
  }
})

test('what only looks like an import is none', () => {
  const table = [
    "// import { a } from './x.ts'",
    "const text = `\nimport { a } from './x.ts'\n`",
    "new URL('./x', import.meta.url)",
    "export const a = b\nconst from = 'x'",
  ]
  for (const text of table) assert.deepEqual(linksOf(text).imports, [], text)
})

test('exported names are seen, however they are declared', () => {
  const text = `
export const a = 1, z = 2
export let b = 2
export function c() {}
export async function d() {}
export function* e() {}
export class F {}
export abstract class G {}
export type H = 1
export interface I {}
const j = 1, k = 2
export { j, k as l }
export type { M } from './m.ts'
`
  const names = [...linksOf(text).exports.keys()]
  assert.deepEqual(names, ['a', 'b', 'c', 'd', 'e', 'F', 'G', 'H', 'I', 'j', 'l', 'M'])
  assert.equal(linksOf(text).exports.get('c'), 4)
})

test('a relative specifier names a file, anything else a package', () => {
  assert.equal(targetOf('src/cli/dfget.ts', '../core/size.ts'), 'src/core/size.ts')
  assert.equal(targetOf('src/cli/dfget.ts', './flags.ts'), 'src/cli/flags.ts')
  assert.equal(targetOf('src/cli/dfget.ts', 'ws'), null)
})
