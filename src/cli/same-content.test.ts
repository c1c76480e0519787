import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { hasSameContent } from './same-content.ts'

test('files are compared by their bytes, until somebody interrupts', async t => {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-same-'))
  t.after(() => rm(directory, { recursive: true }))
  const [one, other] = ['one', 'other'].map(name => path.join(directory, name))
  const controller = new AbortController()
  const { signal } = controller
  await writeFile(one, 'same')
  assert.equal(await hasSameContent([one, other], signal), false)
  await writeFile(other, 'sama')
  assert.equal(await hasSameContent([one, other], signal), false)
  await writeFile(other, 'same')
  assert.equal(await hasSameContent([one, other], signal), true)
  controller.abort(new Error('interrupted'))
  await assert.rejects(hasSameContent([one, other], signal), /interrupted/)
})
