import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { bundle } from '../scripts/build.ts'
import { VERSION } from '../src/ops/version.ts'

const run = promisify(execFile)

const programs = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bundle-'))
after(() => rm(programs, { recursive: true }))
await bundle(path.join(import.meta.dirname, '..'), programs)

test('a command opens one file beside its own when it starts', async () => {
  const own = await importsOf(path.join(programs, 'dfget.js'))
  assert.equal(own.length, 1, own.join())
  assert.deepEqual(await importsOf(path.join(programs, own[0])), [])
})

test('a command loads cryptography when it needs it, not when it starts', async () => {
  const says = `process.on('exit', () => console.log(process.moduleLoadList.includes('NativeModule crypto')))`
  const command = ['--import', `data:text/javascript,${says}`, path.join(programs, 'dfget.js'), '--version']
  const { stdout } = await run(process.execPath, command)
  assert.equal(stdout, `${VERSION}\nfalse\n`)
})

/** The files that are loaded before this one runs. */
async function importsOf(file: string): Promise<string[]> {
  const statements = (await readFile(file, 'utf8')).matchAll(/^(?:import|\}) .*?["'](\.[^"']+\.js)["'];$/gm)
  return Array.from(statements, ([, imported]) => imported)
}
