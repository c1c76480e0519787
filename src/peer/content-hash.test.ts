import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { MemoryContent, patternBytes } from '../../test/support/memory-content.ts'
import { digestOf } from '../core/digest.ts'
import type { TaskFile } from '../store/task-file.ts'
import { ContentHash } from './content-hash.ts'

const PIECE = 1000
const bytes = patternBytes(10 * PIECE + 7)
const DIGEST = digestOf(createHash('sha256').update(bytes).digest())

/** A content of which nothing is held, and where it has been read. */
function emptyContent(of: Uint8Array = bytes) {
  const content = new MemoryContent(of, PIECE)
  const positions: number[] = []
  content.onRead = async position => void positions.push(position)
  return { content, file: content as unknown as TaskFile, positions }
}

function hold(content: MemoryContent, ...pieces: number[]): void {
  for (const piece of pieces) content.held.add(piece)
}

/** Until what is under way has come to its end. */
const settled = () => new Promise(resolve => setImmediate(resolve))

test('each byte is read once, as soon as nothing before it is missing', async () => {
  const { content, file, positions } = emptyContent()
  const hash = new ContentHash()
  hold(content, 1, 2)
  hash.advance(file)
  await settled()
  assert.deepEqual(positions, [])
  hold(content, 0)
  hash.advance(file)
  await settled()
  assert.deepEqual(positions, [0])
  hold(content, 3, 4, 5, 6, 7, 8, 9)
  hash.advance(file)
  await settled()
  assert.deepEqual(positions, [0, 3 * PIECE])
  hold(content, 10)
  assert.equal(await hash.digest(file), DIGEST)
  assert.deepEqual(positions, [0, 3 * PIECE, 10 * PIECE])
})

test('the digest is that of the content, however its pieces come', async () => {
  for (const order of [
    [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    [7, 0, 3, 1, 2, 10, 9, 4, 6, 5, 8],
  ]) {
    const { content, file, positions } = emptyContent()
    const hash = new ContentHash()
    for (const piece of order) {
      hold(content, piece)
      hash.advance(file)
      if (piece % 3 === 0) await settled()
    }
    assert.equal(await hash.digest(file), DIGEST, `${order}`)
    assert.deepEqual(
      positions,
      positions.toSorted((a, b) => a - b),
    )
  }
})

test('a piece in its turn is hashed from memory, and not read', async () => {
  const { content, file, positions } = emptyContent()
  const hash = new ContentHash()
  const bytesOf = (piece: number) => bytes.subarray(piece * PIECE, (piece + 1) * PIECE)
  const store = async (piece: number) => {
    hash.add(file, piece * PIECE, bytesOf(piece))
    // Twice, as when two sources bring it.
    hash.add(file, piece * PIECE, bytesOf(piece))
    hold(content, piece)
    hash.advance(file)
    await settled()
  }
  for (const piece of [0, 1, 3, 4, 2, 5, 6, 7, 8, 9, 10]) await store(piece)
  assert.equal(await hash.digest(file), DIGEST)
  assert.deepEqual(positions, [3 * PIECE])
})

test('a piece that comes while others are read is not hashed out of its turn', async () => {
  const { content, file, positions } = emptyContent()
  const hash = new ContentHash()
  const blocked = Promise.withResolvers<void>()
  hold(content, 0, 1)
  content.onRead = async position => {
    positions.push(position)
    await blocked.promise
  }
  hash.advance(file)
  hash.add(file, 0, bytes.subarray(0, PIECE))
  hash.add(file, 2 * PIECE, bytes.subarray(2 * PIECE, 3 * PIECE))
  hold(content, 2, 3, 4, 5, 6, 7, 8, 9, 10)
  blocked.resolve()
  assert.equal(await hash.digest(file), DIGEST)
  assert.deepEqual(positions, [0, 2 * PIECE])
})

test('content of another version is hashed from its first byte on, also where the other is being read', async () => {
  const other = emptyContent(patternBytes(3 * PIECE).reverse())
  hold(other.content, 0, 1)
  const { content, file, positions } = emptyContent()
  const hash = new ContentHash()
  const blocked = Promise.withResolvers<void>()
  other.content.onRead = () => blocked.promise
  hash.advance(other.file)
  hold(content, ...Array(11).keys())
  hash.advance(file)
  blocked.resolve()
  assert.equal(await hash.digest(file), DIGEST)
  assert.deepEqual(positions, [0])
})

test('what could not be read meanwhile is read at the end, and says then why it can not', async () => {
  const { content, file } = emptyContent()
  const hash = new ContentHash()
  hold(content, ...Array(11).keys())
  content.onRead = async () => {
    throw new Error('unreadable')
  }
  hash.advance(file)
  await settled()
  await assert.rejects(hash.digest(file), /unreadable/)
  content.onRead = null
  assert.equal(await hash.digest(file), DIGEST)
})

test('nothing is read any more once it has been stopped', async () => {
  const { content, file, positions } = emptyContent()
  const hash = new ContentHash()
  hold(content, 0)
  hash.advance(file)
  hash.stop()
  await settled()
  hold(content, 1)
  hash.advance(file)
  await settled()
  assert.deepEqual(positions, [0])
})

test('content of no length has its digest', async () => {
  const { file } = emptyContent(new Uint8Array(0))
  assert.equal(await new ContentHash().digest(file), digestOf(createHash('sha256').digest()))
})
