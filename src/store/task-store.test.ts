import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import {
  contentOf,
  holdsOnly,
  newTask,
  openDescriptorsBelow,
  sha256,
  temporaryDirectory,
  writeMissing,
  writePieces,
} from '../../test/support/store-fixture.ts'
import type { Generation } from '../core/generation.ts'
import type { TaskId } from '../core/task-id.ts'
import { peerPlaces, repoPlaces, type StorePlaces } from './places.ts'
import { sweepOrphans } from './sweep-orphans.ts'
import { openTaskStore } from './task-store.ts'

const content = contentOf(70)
const second = { generation: 'ffffffffffffffff' as Generation }
const kinds: [string, (home: string) => StorePlaces][] = [
  ['peer', peerPlaces],
  ['supernode', repoPlaces],
]

test('nothing stored opens as null', async t => {
  const store = await openTaskStore({ places: peerPlaces(temporaryDirectory(t)), sha256 })
  assert.equal(await store.open(newTask(1).taskId), null)
  assert.deepEqual(await store.recordedTaskIds(), [])
  await store.close()
})

test('directories and files are for their account only', async t => {
  const home = path.join(temporaryDirectory(t), 'home')
  const places = peerPlaces(home)
  const store = await openTaskStore({ places, sha256 })
  const file = await store.create(newTask(70))
  for (const directory of places.directories) assert.equal(fs.statSync(directory).mode & 0o777, 0o700)
  assert.equal(fs.statSync(file.path).mode & 0o777, 0o600)
  assert.equal(fs.statSync(places.recordPath(file.taskId)).mode & 0o777, 0o600)
  await store.close()
})

for (const [kind, placesIn] of kinds) {
  test(`opens of one task at a time give one task file (${kind})`, async t => {
    const places = placesIn(temporaryDirectory(t))
    const store = await openTaskStore({ places, sha256 })
    const { taskId } = await store.create(newTask(70))
    await store.close()
    const later = await openTaskStore({ places, sha256 })
    const [a, b] = await Promise.all([later.open(taskId), later.open(taskId)])
    assert.ok(a)
    assert.equal(a, b)
    await a.close()
    const c = await later.open(taskId)
    assert.notEqual(c, a)
    await later.close()
  })

  test(`a new generation discards the old one, whose leases go on reading (${kind})`, async t => {
    const home = temporaryDirectory(t)
    const places = placesIn(home)
    const store = await openTaskStore({ places, sha256 })
    const old = await store.create(newTask(70))
    await writeMissing(old, content)
    await old.complete(null)
    const release = old.retain()
    const young = await store.create(newTask(70, second))
    const other = contentOf(70, 2)
    await writePieces(young, other, [0])
    assert.ok(await holdsOnly(old, content))
    assert.ok(await holdsOnly(young, other))
    assert.throws(() => old.retain(), { code: 'TASK_UNKNOWN' })
    await old.discard()
    assert.equal(fs.existsSync(young.path), true)
    assert.equal(fs.existsSync(places.recordPath(young.taskId)), true)
    release()
    await assert.rejects(old.read(new Uint8Array(1), 0), { code: 'TASK_UNKNOWN' })
    await store.close()
    const later = await openTaskStore({ places, sha256 })
    const found = await later.open(young.taskId)
    assert.equal(found?.generation, second.generation)
    assert.deepEqual([...found.held.members()], [0])
    await later.close()
    assert.equal(await openDescriptorsBelow(home), 0)
  })

  test(`discard takes content and record away, twice is fine (${kind})`, async t => {
    const home = temporaryDirectory(t)
    const places = placesIn(home)
    const store = await openTaskStore({ places, sha256 })
    const file = await store.create(newTask(70))
    const writes = writePieces(file, content, [0, 1, 2])
    await Promise.all([file.discard(), file.discard(), writes])
    await assert.rejects(writePieces(file, content, [3]), { code: 'TASK_UNKNOWN' })
    await file.discard()
    await file.close()
    assert.deepEqual(filesBelow(home), [])
    assert.equal(await store.open(file.taskId), null)
    await store.close()
    assert.equal(await openDescriptorsBelow(home), 0)
  })

  test(`a discard that crosses a create leaves the new generation whole (${kind})`, async t => {
    const home = temporaryDirectory(t)
    const store = await openTaskStore({ places: placesIn(home), sha256 })
    const old = await store.create(newTask(70))
    const [young] = await Promise.all([store.create(newTask(70, second)), old.discard(), old.discard()])
    await writeMissing(young, content)
    await young.complete(null)
    assert.deepEqual(new Uint8Array(fs.readFileSync(young.path)), content)
    await store.close()
  })

  test(`a record of an unknown version is left alone by open and moved aside by create (${kind})`, async t => {
    const home = temporaryDirectory(t)
    const places = placesIn(home)
    const events: string[] = []
    const store = await openTaskStore({ places, sha256, log: event => events.push(event) })
    const task = newTask(70)
    const recordPath = places.recordPath(task.taskId)
    const foreign = '{"v":2,"something":"else"}\nnot for us'
    fs.mkdirSync(path.dirname(recordPath), { recursive: true })
    fs.writeFileSync(recordPath, foreign)
    fs.writeFileSync(places.partialPath(task), 'foreign content')
    assert.equal(await store.open(task.taskId), null)
    assert.deepEqual(events, ['record of unknown version left alone'])
    assert.equal(fs.readFileSync(recordPath, 'utf8'), foreign)
    assert.equal(await sweepOrphans(places), 0)
    assert.equal(await store.describe(task.taskId), null)
    const file = await store.create(task)
    await writeMissing(file, content)
    await file.complete(null)
    assert.equal(fs.readFileSync(`${recordPath}.v2`, 'utf8'), foreign)
    assert.equal(fs.readFileSync(`${places.partialPath(task)}.v2`, 'utf8'), 'foreign content')
    await file.discard()
    fs.writeFileSync(recordPath, foreign)
    await store.create(task)
    assert.equal(fs.readFileSync(`${recordPath}.v2-2`, 'utf8'), foreign)
    await store.close()
  })

  test(`content without a record is swept, all other content stays (${kind})`, async t => {
    const places = placesIn(temporaryDirectory(t))
    const store = await openTaskStore({ places, sha256 })
    const partial = await store.create(newTask(70))
    const done = await store.create(newTask(70, { taskId: 'cd'.repeat(32) as TaskId }))
    await writeMissing(done, content)
    await done.complete(null)
    const orphan = await store.create(newTask(70, { taskId: 'ef'.repeat(32) as TaskId }))
    const torn = await store.create(newTask(70, { taskId: '12'.repeat(32) as TaskId }))
    await store.close()
    fs.rmSync(places.recordPath(orphan.taskId))
    fs.writeFileSync(places.recordPath(torn.taskId), '{"v":1')
    assert.equal(await sweepOrphans(places), 3)
    assert.deepEqual(
      [partial, done, orphan, torn].map(file => fs.existsSync(file.path)),
      [true, true, false, false],
    )
    assert.equal(await sweepOrphans(places), 0)
  })

  test(`while the store is open only what is old is swept, and nothing of another account (${kind})`, async t => {
    const places = placesIn(temporaryDirectory(t))
    const store = await openTaskStore({ places, sha256 })
    const { path: orphan, taskId } = await store.create(newTask(70))
    await store.close()
    fs.rmSync(places.recordPath(taskId))
    const changedAtMs = fs.statSync(orphan).ctimeMs
    assert.equal(await sweepOrphans(places, changedAtMs - 1), 0)
    const uid = process.getuid!()
    const asAnother = t.mock.method(process as { getuid(): number }, 'getuid', () => uid + 1)
    assert.equal(await sweepOrphans(places), 0)
    asAnother.mock.restore()
    assert.ok(fs.existsSync(orphan))
    assert.equal(await sweepOrphans(places, changedAtMs + 1), 1)
  })

  test(`a task is discarded by its id, open or not, and its leases go on reading (${kind})`, async t => {
    const places = placesIn(temporaryDirectory(t))
    const store = await openTaskStore({ places, sha256 })
    for (const isOpen of [true, false]) {
      const file = await store.create(newTask(70))
      await writeMissing(file, content)
      await file.complete(null)
      const letGo = file.retain()
      if (!isOpen) await file.close()
      await store.discard(file.taskId)
      assert.ok(!fs.existsSync(file.path) && !fs.existsSync(places.recordPath(file.taskId)))
      assert.ok(await holdsOnly(file, content))
      letGo()
    }
    await store.discard(newTask(1).taskId)
    await store.close()
  })

  test(`a glance at a task tells whether it is complete, when it changed, and what it takes (${kind})`, async t => {
    const places = placesIn(temporaryDirectory(t))
    const store = await openTaskStore({ places, sha256 })
    const { taskId } = newTask(70)
    assert.equal(await store.describe(taskId), null)
    const file = await store.create(newTask(70))
    assert.equal((await store.describe(taskId))?.isComplete, false)
    await writeMissing(file, content)
    await file.complete(null)
    const changedAtMs = Math.max(
      ...[file.path, places.recordPath(taskId)].map(name => Math.floor(fs.statSync(name).ctimeMs)),
    )
    assert.deepEqual(await store.describe(taskId), { isComplete: true, changedAtMs, ownBytes: 70 })
    fs.linkSync(file.path, `${file.path}.target`)
    assert.equal((await store.describe(taskId))?.ownBytes, 0)
    await store.close()
  })

  test(`a link in the way is never followed (${kind})`, async t => {
    const home = temporaryDirectory(t)
    const places = placesIn(home)
    const victim = path.join(home, 'victim')
    fs.writeFileSync(victim, 'untouched')
    const task = newTask(70)
    const recordPath = places.recordPath(task.taskId)
    fs.mkdirSync(path.dirname(recordPath), { recursive: true })
    fs.mkdirSync(path.dirname(places.partialPath(task)), { recursive: true })
    for (const link of [places.partialPath(task), recordPath, `${recordPath}.new`])
      fs.symlinkSync(victim, link)
    const store = await openTaskStore({ places, sha256 })
    assert.equal(await store.open(task.taskId), null)
    const file = await store.create(task)
    await writeMissing(file, content)
    await file.close()
    fs.rmSync(file.path)
    fs.symlinkSync(victim, file.path)
    assert.equal(await store.open(task.taskId), null)
    assert.equal(fs.readFileSync(victim, 'utf8'), 'untouched')
    await store.close()
  })
}

test('a closed store refuses work, and its descriptors end with their leases', async t => {
  const home = temporaryDirectory(t)
  const store = await openTaskStore({ places: peerPlaces(home), sha256 })
  const file = await store.create(newTask(70))
  const late = store.create(newTask(70, { taskId: 'cd'.repeat(32) as TaskId }))
  const release = file.retain()
  const writes = writeMissing(file, content)
  await store.close()
  await Promise.all([writes, late])
  await assert.rejects(store.open(file.taskId), { code: 'CANCELLED' })
  await assert.rejects(store.create(newTask(70)), { code: 'CANCELLED' })
  await assert.rejects(
    file.seal(70).then(() => file.complete(null)),
    { code: 'TASK_UNKNOWN' },
  )
  assert.ok(await holdsOnly(file, content))
  release()
  release()
  assert.equal(await openDescriptorsBelow(home), 0)
})

function filesBelow(directory: string): string[] {
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(entry => entry.name)
}
