import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import fsp from 'node:fs/promises'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryDirectory } from '../../test/support/store-fixture.ts'
import { DiskSpace } from './space.ts'

const MIB = 1024 ** 2

/** A disk of which the test says what is free. */
function openDisk(t: TestContext, freeBytes: number) {
  const disk = { freeBytes }
  t.mock.method(fsp, 'statfs', async () => ({ bavail: disk.freeBytes / 4096, bsize: 4096 }))
  return disk
}

const none = async () => false

test('two at once are not promised the same space', async t => {
  openDisk(t, 10 * MIB)
  const space = new DiskSpace({ directory: '/home/data', makeRoom: none })
  const outcomes = await Promise.allSettled([space.reserve(() => 6 * MIB), space.reserve(() => 6 * MIB)])
  assert.deepEqual(outcomes.map(outcome => outcome.status).sort(), ['fulfilled', 'rejected'])
})

test('what is missing is said', async t => {
  openDisk(t, 10 * MIB)
  const space = new DiskSpace({ directory: '/home/data', makeRoom: none })
  await space.reserve(() => 6 * MIB)
  await assert.rejects(
    space.reserve(() => 7 * MIB),
    {
      code: 'DISK_FULL',
      message:
        '3.00 MiB are missing at /home/data: the download takes 7.00 MiB, 10.0 MiB are free, ' +
        '6.00 MiB of them promised to other downloads',
    },
  )
})

test('what is written, or given back, counts no more as promised', async t => {
  const disk = openDisk(t, 10 * MIB)
  const space = new DiskSpace({ directory: '/home/data', makeRoom: none })
  let lacked = 6 * MIB
  const end = await space.reserve(() => lacked)
  lacked = MIB
  disk.freeBytes = 5 * MIB
  await assert.rejects(space.reserve(() => 5 * MIB))
  const endOther = await space.reserve(() => 4 * MIB)
  endOther()
  end()
  await space.reserve(() => 5 * MIB)
})

test('room is made until there is enough', async t => {
  const disk = openDisk(t, 2 * MIB)
  let copies = 5
  const asked: number[] = []
  const makeRoom = async (missingBytes: number) => {
    asked.push(missingBytes)
    disk.freeBytes += 2 * MIB
    return --copies >= 0
  }
  const space = new DiskSpace({ directory: '/home/data', makeRoom })
  await space.reserve(() => 5 * MIB)
  assert.equal(copies, 3)
  assert.deepEqual(asked, [3 * MIB, MIB])
})

test('a directory that somebody removed is made again', async t => {
  const directory = path.join(temporaryDirectory(t), 'home', 'data')
  await new DiskSpace({ directory, makeRoom: none }).reserve(() => 1)
  assert.ok(existsSync(directory))
})

test('who needs nothing is never refused', async t => {
  openDisk(t, 0)
  await new DiskSpace({ directory: '/home/data', makeRoom: none }).reserve(() => 0)
})
