import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { bundle } from '../scripts/build.ts'

test('a command opens one file beside its own when it starts', async t => {
  const programs = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bundle-'))
  t.after(() => rm(programs, { recursive: true }))
  await bundle(path.join(import.meta.dirname, '..'), programs)
  const own = await importsOf(path.join(programs, 'dfget.js'))
  assert.equal(own.length, 1, own.join())
  assert.deepEqual(await importsOf(path.join(programs, own[0])), [])
})

/** The files that are loaded before this one runs. */
async function importsOf(file: string): Promise<string[]> {
  const statements = (await readFile(file, 'utf8')).matchAll(/^(?:import|\}) .*?["'](\.[^"']+\.js)["'];$/gm)
  return Array.from(statements, ([, imported]) => imported)
}
