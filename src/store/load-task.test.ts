import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import {
  contentOf,
  holdsOnly,
  newTask,
  sha256,
  temporaryDirectory,
  writeMissing,
  writePieces,
} from '../../test/support/store-fixture.ts'
import { digestOf, type Sha256 } from '../core/digest.ts'
import { peerPlaces, repoPlaces } from './places.ts'
import type { TaskFile } from './task-file.ts'
import { openTaskStore, type TaskStore } from './task-store.ts'

const content = contentOf(70)
const { taskId } = newTask(70)

type Home = { home: string; store: TaskStore; file: TaskFile; recordPath: string }

async function startTask(t: TestContext, lengthBytes: number | null = 70): Promise<Home> {
  const home = temporaryDirectory(t)
  const places = peerPlaces(home)
  const store = await openTaskStore({ places, sha256 })
  t.after(() => store.close())
  const file = await store.create(newTask(lengthBytes))
  return { home, store, file, recordPath: places.recordPath(taskId) }
}

async function completeTask(t: TestContext): Promise<Home & { outputPath: string }> {
  const started = await startTask(t)
  await writeMissing(started.file, content)
  await started.file.complete(digestOf(sha256(content)))
  const outputPath = path.join(started.home, 'output')
  fs.linkSync(started.file.path, outputPath)
  await started.store.close()
  return { ...started, outputPath }
}

/** Opens the task as after a restart, lets `check` look at it, and closes the store. */
async function afterRestart(
  home: string,
  check: (file: TaskFile | null, store: TaskStore) => Promise<void> | void,
  hash: Sha256 = sha256,
): Promise<void> {
  const store = await openTaskStore({ places: peerPlaces(home), sha256: hash })
  try {
    await check(await store.open(taskId), store)
  } finally {
    await store.close()
  }
}

async function finishes(file: TaskFile): Promise<void> {
  assert.ok(await holdsOnly(file, content))
  if (file.layout.lengthBytes === null) await file.seal(content.length)
  await writeMissing(file, content)
  await file.complete(null)
  assert.deepEqual(new Uint8Array(fs.readFileSync(file.path)), content)
}

for (const lengthBytes of [70, null]) {
  test(`a crash at any byte of the journal loses at most what is not in it (length ${lengthBytes})`, async t => {
    const { home, file, recordPath } = await startTask(t, lengthBytes)
    const partialPath = file.path
    for (const index of [3, 0, 4, 2]) await writePieces(file, content, [index])
    if (lengthBytes === null) await file.seal(70)
    await writePieces(file, content, [1])
    const record = fs.readFileSync(recordPath)
    const data = fs.readFileSync(partialPath)
    await file.close()
    const headerEnd = record.indexOf(0x0a) + 1
    for (let cut = 0; cut <= record.length; cut++) {
      fs.rmSync(`${partialPath}.service`, { force: true })
      fs.writeFileSync(recordPath, record.subarray(0, cut))
      fs.writeFileSync(partialPath, data)
      // Around each end of a line, and here and there within.
      const isFinished =
        cut >= headerEnd && (record.subarray(cut - 1, cut + 2).includes(0x0a) || cut % 16 === 0)
      await afterRestart(home, async found => {
        assert.equal(found === null, cut < headerEnd, `cut at ${cut}`)
        if (!found) return
        const lines = record.subarray(headerEnd, cut).toString().split('\n').slice(0, -1)
        assert.equal(found.held.count, lines.filter(line => line.startsWith('{"p"')).length)
        assert.ok(await holdsOnly(found, content))
        if (isFinished) await finishes(found)
      })
      if (isFinished) await afterRestart(home, found => assert.equal(found?.isComplete, true))
    }
  })
}

test('whatever a crash leaves of content and journal, only true pieces are held and the task can be finished', async t => {
  const { home, file, recordPath } = await startTask(t)
  const partialPath = file.path
  await writePieces(file, content, [0, 1, 2, 4])
  const record = fs.readFileSync(recordPath)
  const data = fs.readFileSync(partialPath)
  await file.close()
  const damage = fc.record({
    cut: fc.nat(record.length),
    junk: fc.uint8Array({ maxLength: 40 }),
    dataLength: fc.nat(100),
    flips: fc.array(fc.nat(data.length - 1), { maxLength: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(damage, async ({ cut, junk, dataLength, flips }) => {
      const damaged = Buffer.alloc(dataLength)
      data.copy(damaged)
      for (const position of flips) if (position < dataLength) damaged[position] ^= 0x40
      fs.rmSync(`${partialPath}.service`, { force: true })
      fs.writeFileSync(recordPath, Buffer.concat([record.subarray(0, cut), junk]))
      fs.writeFileSync(partialPath, damaged)
      await afterRestart(home, async (found, store) => finishes(found ?? (await store.create(newTask(70)))))
      await afterRestart(home, async found =>
        assert.ok(found?.isComplete && (await holdsOnly(found, content))),
      )
    }),
    { numRuns: 100 },
  )
})

test('a damaged piece is dropped, said so, and can be written again', async t => {
  const { home, file } = await startTask(t)
  await writePieces(file, content, [0, 1, 2, 3])
  await file.close()
  damage(file.path, 20)
  await afterRestart(home, async found => {
    assert.deepEqual([...found!.held.members()], [0, 2, 3])
    await finishes(found!)
  })
})

test('a short last piece of unknown length survives a restart', async t => {
  const { home, file } = await startTask(t, null)
  await writePieces(file, content, [4, 0])
  await file.close()
  await afterRestart(home, async found => {
    assert.deepEqual([...found!.held.members()], [0, 4])
    await assert.rejects(found!.seal(71), { code: 'PROTOCOL_INVALID' })
    await found!.seal(70)
    await finishes(found!)
  })
})

test('a complete task that nobody touched opens without reading it back', async t => {
  const { home } = await completeTask(t)
  const hash = () => assert.fail('nothing is hashed')
  await afterRestart(
    home,
    async found => {
      assert.equal(found?.isComplete, true)
      assert.equal(found.digest, digestOf(sha256(content)))
      assert.equal(await found.isUntouched(), true)
      assert.ok(await holdsOnly(found, content))
    },
    hash,
  )
})

test('a complete task whose time alone changed is verified once and stays', async t => {
  const { home, outputPath } = await completeTask(t)
  fs.utimesSync(outputPath, 1, 1)
  await afterRestart(home, found => {
    assert.equal(found?.isComplete, true)
    assert.equal(found.digest, digestOf(sha256(content)))
  })
  let hashed = 0
  await afterRestart(
    home,
    found => assert.equal(found?.isComplete, true),
    bytes => {
      hashed++
      return sha256(bytes)
    },
  )
  assert.equal(hashed, 0)
})

const edits: [string, (outputPath: string) => void][] = [
  ['changed in place', outputPath => damage(outputPath, 33)],
  ['appended to', outputPath => fs.appendFileSync(outputPath, 'more')],
  ['cut short', outputPath => fs.truncateSync(outputPath, 64)],
  ['emptied', outputPath => fs.truncateSync(outputPath, 0)],
]
for (const [how, edit] of edits) {
  for (const [when, loseCompletion] of [
    ['', false],
    [' and whose completion was lost', true],
  ] as const) {
    test(`a shared copy that was ${how}${when} is neither trusted nor written`, async t => {
      const { home, file, recordPath, outputPath } = await completeTask(t)
      edit(outputPath)
      if (loseCompletion) dropCompletion(recordPath)
      const edited = fs.readFileSync(outputPath)
      const before = fs.statSync(outputPath, { bigint: true })
      await afterRestart(home, async (found, store) => {
        assert.equal(found, null)
        assert.equal(fs.existsSync(file.path), false)
        await finishes(await store.create(newTask(70)))
      })
      assert.deepEqual(fs.readFileSync(outputPath), edited)
      assert.equal(fs.statSync(outputPath, { bigint: true }).mtimeNs, before.mtimeNs)
    })
  }
}

test('a power failure between the move and the record of completion costs one verification', async t => {
  const { home, recordPath, outputPath } = await completeTask(t)
  dropCompletion(recordPath)
  const before = fs.statSync(outputPath, { bigint: true })
  await afterRestart(home, async found => {
    assert.equal(found?.isComplete, false)
    assert.equal(found.held.isFull, true)
    await found.complete(null)
  })
  await afterRestart(home, found => assert.equal(found?.isComplete, true))
  assert.equal(fs.statSync(outputPath, { bigint: true }).mtimeNs, before.mtimeNs)
})

test('in the repository too, content with a second name is not written', async t => {
  const home = temporaryDirectory(t)
  const places = repoPlaces(home)
  const store = await openTaskStore({ places, sha256 })
  const file = await store.create(newTask(70))
  await writePieces(file, content, [0, 1])
  await store.close()
  fs.linkSync(file.path, path.join(home, 'second'))
  const later = await openTaskStore({ places, sha256 })
  assert.equal(await later.open(taskId), null)
  await later.close()
  assert.equal(fs.statSync(path.join(home, 'second')).size, 32)
})

test('a record without content is dropped', async t => {
  const { home, file, recordPath } = await startTask(t)
  await file.close()
  fs.rmSync(file.path)
  await afterRestart(home, found => assert.equal(found, null))
  assert.equal(fs.existsSync(recordPath), false)
})

test('a record under another task’s name is not taken for it', async t => {
  const { home, file, recordPath } = await startTask(t)
  await file.close()
  const text = fs.readFileSync(recordPath, 'utf8')
  fs.writeFileSync(recordPath, text.replace('abab', 'cdcd'))
  await afterRestart(home, found => assert.equal(found, null))
})

function damage(filePath: string, position: number): void {
  const bytes = fs.readFileSync(filePath)
  bytes[position] ^= 1
  fs.writeFileSync(filePath, bytes)
}

function dropCompletion(recordPath: string): void {
  const lines = fs.readFileSync(recordPath, 'utf8').split('\n')
  const kept = lines.filter(line => !line.startsWith('{"complete"'))
  assert.equal(kept.length, lines.length - 1)
  fs.writeFileSync(recordPath, kept.join('\n'))
}
