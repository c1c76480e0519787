import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import {
  contentOf,
  newTask,
  openDescriptorsBelow,
  PIECE_LENGTH,
  pieceOf,
  sha256,
  temporaryDirectory,
  writeMissing,
  writePieces,
} from '../../test/support/store-fixture.ts'
import { Bitmap } from '../core/bitmap.ts'
import { digestOf } from '../core/digest.ts'
import { PieceDigests } from '../core/piece-digests.ts'
import { Journal } from './journal.ts'
import { peerPlaces } from './places.ts'
import { TaskFile } from './task-file.ts'
import { openTaskStore } from './task-store.ts'

const content = contentOf(70)

async function startTask(t: TestContext, lengthBytes: number | null): Promise<TaskFile> {
  const store = await openTaskStore({ places: peerPlaces(temporaryDirectory(t)), sha256 })
  t.after(() => store.close())
  return store.create(newTask(lengthBytes))
}

const recordOf = (file: TaskFile) =>
  fs.readFileSync(path.join(path.dirname(file.path), '../meta/tasks', `${file.taskId}.jsonl`), 'utf8')

test('pieces written in any order make the content', async t => {
  const file = await startTask(t, 70)
  await writePieces(file, content, [4, 1, 3, 0, 2])
  assert.equal(file.held.isFull, true)
  assert.deepEqual(new Uint8Array(file.digests.get(4)!), new Uint8Array(sha256(pieceOf(content, 4))))
  const partialPath = file.path
  await file.complete(null)
  assert.equal(file.path, `${partialPath}.service`)
  assert.equal(fs.existsSync(partialPath), false)
  assert.deepEqual(new Uint8Array(fs.readFileSync(file.path)), content)
})

test('a piece is written once, however many bring it at the same time', async t => {
  const file = await startTask(t, 70)
  await writePieces(file, content, [2, 2, 2])
  await writePieces(file, content, [2])
  assert.equal(recordOf(file).match(/"p":2/g)?.length, 1)
})

test('a range is held exactly if all its pieces are', async t => {
  const file = await startTask(t, 70)
  await writePieces(file, content, [0, 1, 4])
  const holdsByte = (position: number) => position < 32 || (position >= 64 && position < 70)
  fc.assert(
    fc.property(fc.nat(80), fc.nat(80), (start, length) => {
      const all = Array.from({ length }, (_, offset) => holdsByte(start + offset)).every(Boolean)
      assert.equal(file.holdsRange(start, start + length), all)
    }),
  )
})

test('only held bytes are read, and never beyond the end', async t => {
  const file = await startTask(t, 70)
  await writePieces(file, content, [0, 4])
  await assert.rejects(file.read(new Uint8Array(17), 0), { code: 'PIECE_NOT_HELD' })
  const into = new Uint8Array(16)
  assert.equal(await file.read(into, 60).catch(error => error.code), 'PIECE_NOT_HELD')
  assert.equal(await file.read(into, 64), 6)
  assert.deepEqual(into.subarray(0, 6), content.subarray(64))
  assert.equal(await file.read(into, 70), 0)
})

test('a file that somebody cut short is an error, not an endless read', async t => {
  const file = await startTask(t, 70)
  await writePieces(file, content, [4])
  fs.truncateSync(file.path, 0)
  await assert.rejects(file.read(new Uint8Array(6), 64), { code: 'DISK_ERROR' })
})

test('a task of unknown length grows, is sealed, and completes', async t => {
  const file = await startTask(t, null)
  assert.equal(file.held.size, 0)
  await writePieces(file, content, [0, 2])
  assert.equal(file.held.size, 3)
  assert.equal(file.layout.lengthBytes, null)
  await file.seal(70)
  await file.seal(70)
  assert.equal(file.held.size, 5)
  assert.equal(fs.statSync(file.path).size, 70)
  await writeMissing(file, content)
  await file.complete(null)
  assert.deepEqual(new Uint8Array(fs.readFileSync(file.path)), content)
  assert.equal(recordOf(file).match(/"length"/g)?.length, 1)
})

test('a sealing joins the writes around it', async t => {
  const file = await startTask(t, null)
  await Promise.all([
    writePieces(file, content, [4, 1]),
    file.seal(70),
    file.seal(70),
    writePieces(file, content, [3, 0]),
  ])
  await writePieces(file, content, [2])
  await file.complete(null)
  assert.deepEqual(new Uint8Array(fs.readFileSync(file.path)), content)
})

test('a length that contradicts the pieces or an earlier length is refused', async t => {
  const file = await startTask(t, null)
  await writePieces(file, content, [0, 2])
  await assert.rejects(file.seal(47), { code: 'PROTOCOL_INVALID' })
  await assert.rejects(file.seal(-1), { code: 'PROTOCOL_INVALID' })
  await writePieces(file, content, [4])
  await assert.rejects(file.seal(80), { code: 'PROTOCOL_INVALID' })
  await assert.rejects(file.seal(64), { code: 'PROTOCOL_INVALID' })
  await file.seal(70)
  await assert.rejects(file.seal(71), { code: 'PROTOCOL_INVALID' })
})

test('nothing follows a short piece of unknown length, and no short piece precedes another', async t => {
  const file = await startTask(t, null)
  const short = new Uint8Array(5)
  await writePieces(file, content, [2])
  await assert.rejects(file.writePiece(1, short, sha256(short)), { code: 'PROTOCOL_INVALID' })
  await writePieces(file, content, [4])
  const whole = new Uint8Array(PIECE_LENGTH)
  await assert.rejects(file.writePiece(5, whole, sha256(whole)), { code: 'PROTOCOL_INVALID' })
  assert.equal(file.holdsRange(64, 70), true)
  assert.equal(file.holdsRange(64, 71), false)
})

for (const lengthBytes of [0, null]) {
  test(`an empty task completes at once (length ${lengthBytes})`, async t => {
    const home = temporaryDirectory(t)
    const store = await openTaskStore({ places: peerPlaces(home), sha256 })
    const file = await store.create(newTask(lengthBytes))
    await file.seal(0)
    const digest = await file.computeDigest()
    assert.equal(digest, digestOf(sha256(new Uint8Array(0))))
    await file.complete(digest)
    assert.equal(fs.statSync(file.path).size, 0)
    await store.close()
    const later = await openTaskStore({ places: peerPlaces(home), sha256 })
    assert.equal((await later.open(file.taskId))?.digest, digest)
    await later.close()
  })
}

test('completion happens once, however often it is asked for', async t => {
  const file = await startTask(t, 70)
  await writeMissing(file, content)
  await Promise.all([file.complete(null), file.complete(null)])
  await file.complete(null)
  assert.equal(recordOf(file).match(/"complete"/g)?.length, 1)
})

test('a task that lacks a piece or a length does not complete', async t => {
  const file = await startTask(t, 70)
  await assert.rejects(file.complete(null), /all pieces are held/)
  const unknown = await startTask(t, null)
  await assert.rejects(unknown.complete(null), /length is known/)
})

test('the digest is that of the whole content, and its computation can be stopped', async t => {
  const file = await startTask(t, 70)
  await writeMissing(file, content)
  assert.equal(await file.computeDigest(), digestOf(sha256(content)))
  const reason = new Error('enough')
  const stopped = file.computeDigest(AbortSignal.abort(reason))
  await assert.rejects(stopped, reason)
})

test('the digest is computed once for all who want it, until the last of them has gone', async t => {
  const file = await startTask(t, 70)
  await writeMissing(file, content)
  const reads = t.mock.method(file, 'read')
  const [first, second] = [new AbortController(), new AbortController()]
  const gone = [file.computeDigest(first.signal), file.computeDigest(second.signal)]
  for (const leaver of [first, second]) leaver.abort(new Error('enough'))
  for (const one of gone) await assert.rejects(one, /enough/)
  assert.equal(file.digest, null)
  reads.mock.resetCalls()
  const leaver = new AbortController()
  const left = file.computeDigest(leaver.signal)
  const stays = file.computeDigest()
  leaver.abort(new Error('enough'))
  await assert.rejects(left, /enough/)
  assert.equal(await stays, digestOf(sha256(content)))
  assert.equal(reads.mock.callCount(), 1)
})

test('what is read when the file is closed meanwhile is handed out', async t => {
  const file = await startTask(t, 70)
  await writeMissing(file, content)
  await file.complete(null)
  const reading = file.read(new Uint8Array(70), 0)
  void file.close()
  assert.equal(await reading, 70)
})

test('touched means edited or replaced, not linked or made readable', async t => {
  const file = await startTask(t, 70)
  await writeMissing(file, content)
  assert.equal(await file.isUntouched(), true)
  await file.complete(null)
  const output = `${file.path}.output`
  fs.linkSync(file.path, output)
  fs.chmodSync(output, 0o644)
  assert.equal(await file.isUntouched(), true)
  fs.utimesSync(file.path, 1, 1)
  fs.writeFileSync(output, content)
  assert.equal(await file.isUntouched(), false)
  fs.rmSync(file.path)
  assert.equal(await file.isUntouched(), false)
})

test('a complete file is not read any more once somebody has written to it, under whatever name', async t => {
  const file = await startTask(t, 70)
  await writeMissing(file, content)
  await file.complete(null)
  const target = `${file.path}.target`
  fs.linkSync(file.path, target)
  fs.chmodSync(target, 0o644)
  assert.equal(file.isIntact, true)
  assert.equal(await file.read(new Uint8Array(70), 0), 70)
  fs.utimesSync(target, 1, 1)
  assert.equal(file.isIntact, false)
  await assert.rejects(file.read(new Uint8Array(70), 0), { code: 'DISK_ERROR' })
})

test('what was read while somebody wrote is not handed out', async t => {
  const file = await startTask(t, 70)
  await writeMissing(file, content)
  await file.complete(null)
  const read = fs.read
  const readAndWrite = (...args: unknown[]) => {
    fs.writeFileSync(file.path, contentOf(70, 2))
    fs.utimesSync(file.path, 1, 1)
    return Reflect.apply(read, fs, args)
  }
  t.mock.method(fs, 'read', readAndWrite as typeof fs.read)
  await assert.rejects(file.read(new Uint8Array(70), 0), { code: 'DISK_ERROR' })
})

test('is in use while somebody has a lease', async t => {
  const file = await startTask(t, 70)
  assert.equal(file.isInUse, false)
  const letGo = file.retain()
  await file.close()
  assert.equal(file.isInUse, true)
  letGo()
  assert.equal(file.isInUse, false)
})

test('a failed write holds nothing, says that the disk is full, and may be repeated', async t => {
  const directory = temporaryDirectory(t)
  const recordPath = path.join(directory, 'record')
  fs.writeFileSync(recordPath, '')
  const file = bareTaskFile('/dev/full', recordPath)
  const piece = pieceOf(content, 0)
  const both = await Promise.allSettled([
    file.writePiece(0, piece, sha256(piece)),
    file.writePiece(0, piece, sha256(piece)),
  ])
  assert.deepEqual(
    both.map(result => result.status === 'rejected' && result.reason.code),
    ['DISK_FULL', 'DISK_FULL'],
  )
  await assert.rejects(file.writePiece(0, piece, sha256(piece)), { code: 'DISK_FULL' })
  assert.equal(file.held.count, 0)
  assert.equal(file.digests.has(0), false)
  assert.equal(fs.readFileSync(recordPath, 'utf8'), '')
  await file.close()
})

test('a piece that the journal does not take is not held, until it does', async t => {
  const directory = temporaryDirectory(t)
  const recordPath = path.join(directory, 'record')
  const dataPath = path.join(directory, 'data')
  fs.writeFileSync(dataPath, '')
  const file = bareTaskFile(dataPath, recordPath)
  const piece = pieceOf(content, 0)
  await assert.rejects(file.writePiece(0, piece, sha256(piece)), { code: 'DISK_ERROR' })
  assert.equal(file.held.count, 0)
  fs.writeFileSync(recordPath, '')
  await file.writePiece(0, piece, sha256(piece))
  assert.equal(file.held.has(0), true)
  await file.close()
  assert.equal(await openDescriptorsBelow(directory), 0)
})

/** A task file on files that the test chooses. */
function bareTaskFile(dataPath: string, recordPath: string): TaskFile {
  const header = newTask(70)
  return new TaskFile(
    {
      header,
      layout: header.layout,
      held: new Bitmap(5),
      digests: new PieceDigests(),
      tail: null,
      completion: null,
      path: dataPath,
      descriptor: fs.openSync(dataPath, 'r+'),
      journal: new Journal(recordPath, 0),
    },
    { sharedPath: dataPath, recordPath, end: file => file.settle() },
  )
}
