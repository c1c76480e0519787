import assert from 'node:assert/strict'
import fs from 'node:fs'
import fsp from 'node:fs/promises'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { newTask, sha256, temporaryDirectory } from '../../test/support/store-fixture.ts'
import { layoutFor } from '../core/piece-layout.ts'
import { peerPlaces } from './places.ts'
import { openTaskStore } from './task-store.ts'

/** What is synced of a task of one piece until it is complete, in order, with the moment at which it gets its name. */
async function syncsOf(t: TestContext, lengthBytes: number): Promise<string[]> {
  const home = temporaryDirectory(t)
  const store = await openTaskStore({ places: peerPlaces(home), sha256 })
  t.after(() => store.close())
  const layout = layoutFor(lengthBytes)
  const file = await store.create({ ...newTask(lengthBytes), layout })
  const content = new Uint8Array(lengthBytes)
  await file.writePiece(0, content, sha256(content))
  const seen: string[] = []
  const nameOf = (descriptor: number) => fs.readlinkSync(`/proc/self/fd/${descriptor}`)
  const { fdatasync, fsync } = fs
  const { rename } = fsp
  t.mock.method(fs, 'fdatasync', (descriptor: number, done: fs.NoParamCallback) => {
    const isContent = path.dirname(nameOf(descriptor)) === path.join(home, 'data')
    fdatasync(descriptor, error => {
      seen.push(isContent ? 'content' : 'record')
      done(error)
    })
  })
  t.mock.method(fs, 'fsync', (descriptor: number, done: fs.NoParamCallback) => {
    seen.push('directory')
    fsync(descriptor, done)
  })
  t.mock.method(fsp, 'rename', (from: string, to: string) => {
    seen.push('named')
    return rename(from, to)
  })
  await file.complete(null)
  t.mock.restoreAll()
  return seen
}

test('small content is synced before it has the name of complete content, and nothing else is', async t => {
  assert.deepEqual(await syncsOf(t, 4096), ['content', 'named'])
  assert.deepEqual(await syncsOf(t, 64 * 1024), ['content', 'named'])
})

test('of other content the record is synced too, and then the names', async t => {
  const seen = await syncsOf(t, 64 * 1024 + 1)
  assert.deepEqual(seen.toSorted(), ['content', 'directory', 'directory', 'named', 'record'])
  assert.deepEqual([seen[2], ...seen.slice(3)], ['named', 'directory', 'directory'])
})
