import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { findProgram } from './dfdaemon-setup-program.ts'

async function directoryWith(t: TestContext, script: string): Promise<string> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-program-'))
  t.after(() => rm(directory, { recursive: true }))
  await writeFile(path.join(directory, 'some-runtime'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return directory
}

describe('the program of a runtime', () => {
  it('is asked for its version', async t => {
    const directory = await directoryWith(t, 'test "$*" = --version && echo some-runtime v3.14.1')
    assert.deepEqual(await findProgram('some-runtime', { PATH: `relative:${directory}` }), {
      path: path.join(directory, 'some-runtime'),
      version: { major: 3, minor: 14 },
    })
  })

  it('that fails is there without a version', async t => {
    const directory = await directoryWith(t, 'echo 3.14; exit 1')
    const found = await findProgram('some-runtime', { PATH: directory })
    assert.deepEqual(found, { path: path.join(directory, 'some-runtime'), version: null })
  })

  it('that is nowhere is not installed', async () => {
    assert.equal(await findProgram('some-runtime', {}), null)
  })
})
