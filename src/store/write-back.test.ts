import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WRITE_BACK_BYTES, WriteBack } from './write-back.ts'

/** A sync that ends when the test says so. */
function controlledSync() {
  const pending: PromiseWithResolvers<void>[] = []
  let started = 0
  const sync = () => {
    started++
    const ending = Promise.withResolvers<void>()
    pending.push(ending)
    return ending.promise
  }
  return { sync, started: () => started, next: () => pending.shift()! }
}

test('a sync starts after each so many bytes, and never a second one beside it', async () => {
  const disk = controlledSync()
  const writeBack = new WriteBack(disk.sync)
  writeBack.wrote(WRITE_BACK_BYTES - 1)
  assert.equal(disk.started(), 0)
  writeBack.wrote(1)
  assert.equal(disk.started(), 1)
  writeBack.wrote(3 * WRITE_BACK_BYTES)
  assert.equal(disk.started(), 1)
  const finished = writeBack.finish()
  disk.next().resolve()
  await new Promise(setImmediate)
  assert.equal(disk.started(), 2)
  disk.next().resolve()
  await finished
})

test('whose end nobody waits for is synced at its end only', async () => {
  const disk = controlledSync()
  const writeBack = new WriteBack(disk.sync)
  writeBack.isAtEnd = true
  writeBack.wrote(3 * WRITE_BACK_BYTES)
  assert.equal(disk.started(), 0)
  const finished = writeBack.finish()
  await new Promise(setImmediate)
  assert.equal(disk.started(), 1)
  disk.next().resolve()
  await finished
})

test('the failure of any sync is the failure of every finish', async () => {
  const disk = controlledSync()
  const writeBack = new WriteBack(disk.sync)
  writeBack.wrote(WRITE_BACK_BYTES)
  const failure = new Error('lost')
  disk.next().reject(failure)
  await assert.rejects(writeBack.finish(), failure)
  writeBack.wrote(WRITE_BACK_BYTES)
  await assert.rejects(writeBack.finish(), failure)
  assert.equal(disk.started(), 1)
})
