import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import {
  contentOf,
  newTask,
  sha256,
  temporaryDirectory,
  writeMissing,
} from '../../test/support/store-fixture.ts'
import type { TaskId } from '../core/task-id.ts'
import { silentLog } from '../ops/log.ts'
import { peerPlaces } from '../store/places.ts'
import { openTaskStore } from '../store/task-store.ts'
import { DEFAULT_FILE_TIMES, FileLife } from './file-life.ts'

const LENGTH = 70
const [OLD, MIDDLE, YOUNG, BUSY] = ['01', '23', '45', '67'].map(hex => hex.repeat(32)) as TaskId[]

/** Four complete copies of 70 bytes each, of which one is busy; an unfinished download; and the life of all that. */
async function fourCopies(t: TestContext) {
  const places = peerPlaces(temporaryDirectory(t))
  const store = await openTaskStore({ places, sha256 })
  t.after(() => store.close())
  const clock = new FakeClock()
  const life = new FileLife({
    ...{ store, places, clock, log: silentLog, times: DEFAULT_FILE_TIMES },
    tasks: {
      taskIds: () => [],
      has: () => false,
      isBusy: taskId => taskId === BUSY,
      isChanged: () => false,
      stopSharing: async () => {},
      remove: async taskId => {
        await store.discard(taskId)
        return true
      },
    },
  })
  for (const taskId of [OLD, MIDDLE, YOUNG, BUSY]) {
    const file = await store.create(newTask(LENGTH, { taskId }))
    await writeMissing(file, contentOf(LENGTH))
    await file.complete(null)
    life.touch(taskId)
    clock.advance(1_000)
  }
  await store.create(newTask(LENGTH))
  const left = async () => (await store.recordedTaskIds()).sort()
  return { life, left }
}

const UNFINISHED = newTask(0).taskId

test('room is made by as many copies as it takes, the longest unused first', async t => {
  const { life, left } = await fourCopies(t)
  assert.equal(await life.makeRoom(LENGTH + 1), true)
  assert.deepEqual(await left(), [YOUNG, BUSY, UNFINISHED])
})

test('no copy goes where all of them together would not make the room', async t => {
  const { life, left } = await fourCopies(t)
  assert.equal(await life.makeRoom(3 * LENGTH + 1), false)
  assert.deepEqual(await left(), [OLD, MIDDLE, YOUNG, BUSY, UNFINISHED])
  assert.equal(await life.makeRoom(3 * LENGTH), true)
  assert.deepEqual(await left(), [BUSY, UNFINISHED])
})
