import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import {
  contentOf,
  newTask,
  sha256,
  temporaryDirectory,
  writeMissing,
} from '../../test/support/store-fixture.ts'
import type { Generation } from '../core/generation.ts'
import type { TaskId } from '../core/task-id.ts'
import { encodeUtf8 } from '../core/text.ts'
import { peerPlaces, repoPlaces, safeFileName } from './places.ts'
import { openTaskStore } from './task-store.ts'

const taskId = '0123456789abcdef'.repeat(4) as TaskId
const generation = 'fedcba9876543210' as Generation
const hostileNames = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('.', '/', '\\', '\0', '~', 'é', '😀', '\ud800', '\n') }),
  fc.string({ unit: 'grapheme', minLength: 200, maxLength: 400 }),
  fc.constantFrom(
    '',
    '.',
    '..',
    '../../etc/passwd',
    '/etc/passwd',
    '..\\..\\x',
    'a/../../b',
    '.bashrc',
    '__proto__',
  ),
)

test('a peer’s files have the names that people know from 1.x', () => {
  const places = peerPlaces('/home/u/.small-dragonfly')
  const task = { taskId, name: 'layer.tar', generation }
  const partialPath = '/home/u/.small-dragonfly/data/layer.tar-0123456789abcdef-fedcba98'
  assert.equal(places.partialPath(task), partialPath)
  assert.equal(places.sharedPath(task), `${partialPath}.service`)
  assert.equal(places.recordPath(taskId), `/home/u/.small-dragonfly/meta/tasks/${taskId}.jsonl`)
})

test('a supernode’s content lies under the first three digits, its record beside it', () => {
  const places = repoPlaces('/srv')
  const task = { taskId, name: '../x', generation }
  assert.equal(places.partialPath(task), `/srv/repo/012/${taskId}`)
  assert.equal(places.sharedPath(task), places.partialPath(task))
  assert.equal(places.recordPath(taskId), `/srv/repo/012/${taskId}.jsonl`)
})

test('a hostile name never leaves the data directory nor exceeds what a file system takes', () => {
  const places = peerPlaces('/home/u')
  fc.assert(
    fc.property(hostileNames, name => {
      const safe = safeFileName(name)
      assert.ok(safe.length > 0 && safe !== '.' && safe !== '..')
      assert.ok(encodeUtf8(safe).length <= 150)
      for (const place of [places.partialPath, places.sharedPath]) {
        const placed = place({ taskId, name, generation })
        assert.equal(path.dirname(path.resolve(placed)), '/home/u/data')
        assert.ok(!placed.includes('\0'))
        assert.ok(encodeUtf8(path.basename(placed)).length <= 255)
      }
    }),
  )
})

test('a task of any name can be stored and found again', async t => {
  const home = temporaryDirectory(t)
  const content = contentOf(20)
  await fc.assert(
    fc.asyncProperty(hostileNames, async name => {
      const task = newTask(content.length, { name })
      const store = await openTaskStore({ places: peerPlaces(home), sha256 })
      const file = await store.create(task)
      await writeMissing(file, content)
      await file.complete(null)
      await store.close()
      const later = await openTaskStore({ places: peerPlaces(home), sha256 })
      const found = await later.open(task.taskId)
      assert.equal(found?.isComplete, true)
      assert.equal(found.path, peerPlaces(home).sharedPath(task))
      await later.close()
    }),
    { numRuns: 30 },
  )
})
