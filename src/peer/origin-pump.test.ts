import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { contentOf, newTask, PIECE_LENGTH, pieceOf, sha256 } from '../../test/support/store-fixture.ts'
import { DragonflyError } from '../core/error.ts'
import { BufferPool } from '../net/buffer-pool.ts'
import { RateLimiter } from '../net/rate-limiter.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { OriginBody } from '../origin/origin.ts'
import { peerPlaces } from '../store/places.ts'
import type { TaskFile } from '../store/task-file.ts'
import { openTaskStore, type TaskStore } from '../store/task-store.ts'
import { type PumpOptions, pumpOrigin } from './origin-pump.ts'

/** A body that gives as many bytes at a time as it is told, in a circle. */
function bodyOf(content: Uint8Array, counts: readonly number[] = [7]): OriginBody {
  let position = 0
  let reads = 0
  return {
    async read(into, onBytes) {
      const count = Math.min(counts[reads++ % counts.length], into.length, content.length - position)
      into.set(content.subarray(position, position + count))
      position += count
      if (count > 0) onBytes?.(into.subarray(0, count))
      return count
    },
    close() {},
  }
}

describe('a body from the origin', () => {
  let directory: string
  let store: TaskStore
  let buffers: BufferPool
  let pieces: number[]
  beforeEach(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'dragonfly-pump-'))
    store = await openTaskStore({ places: peerPlaces(directory), sha256 })
    // Two buffers, so that whatever is not given back is missed at once.
    buffers = new BufferPool(2 * 16 * 1024)
    pieces = []
  })
  afterEach(async () => {
    assert.equal(buffers.lentCount, 0)
    await store.close()
    rmSync(directory, { recursive: true })
  })

  const create = (lengthBytes: number | null) => store.create(newTask(lengthBytes))
  const pump = (file: TaskFile, body: OriginBody, changes: Partial<PumpOptions> = {}) =>
    pumpOrigin({
      body,
      file,
      buffers,
      limiter: new RateLimiter(null, systemClock),
      signal: new AbortController().signal,
      fromPiece: 0,
      untilPiece: null,
      expectedDigest: piece => file.digests.get(piece),
      onBytes: () => {},
      prefixDigest: () => null,
      onLength: lengthBytes => file.seal(lengthBytes),
      onPiece: piece => pieces.push(piece),
      ...changes,
    })
  const stored = async (file: TaskFile, lengthBytes: number) => {
    const bytes = new Uint8Array(lengthBytes)
    for (let at = 0; at < lengthBytes; ) at += await file.read(bytes.subarray(at), at)
    return bytes
  }

  it('is cut into verified pieces, whatever its length, whether that is known, and however it arrives', async () => {
    const lengths = fc.oneof(
      fc.integer({ min: 0, max: 6 * PIECE_LENGTH }),
      fc.integer({ min: 0, max: 6 }).map(count => count * PIECE_LENGTH),
    )
    const counts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(lengths, fc.boolean(), counts, async (length, isKnown, sizes) => {
        const content = contentOf(length)
        const file = await create(isKnown ? length : null)
        pieces = []
        let seen = 0
        await pump(file, bodyOf(content, sizes), {
          onBytes: bytes => {
            seen += bytes.length
          },
        })
        assert.equal(seen, length)
        assert.equal(file.layout.lengthBytes, length)
        assert.deepEqual(
          pieces.sort((a, b) => a - b),
          [...Array(Math.ceil(length / PIECE_LENGTH)).keys()],
        )
        assert.deepEqual(await stored(file, length), content)
        assert.equal(buffers.lentCount, 0)
      }),
      { numRuns: 60 },
    )
  })

  it('may be a stretch in the middle', async () => {
    const content = contentOf(5 * PIECE_LENGTH + 3)
    const file = await create(content.length)
    const body = bodyOf(content.subarray(PIECE_LENGTH), [5])
    await pump(file, body, { fromPiece: 1, untilPiece: 3 })
    assert.deepEqual(pieces, [1, 2])
    assert.deepEqual([...file.held.members()], [1, 2])
  })

  it('repeats what is held only as the same', async () => {
    const content = contentOf(3 * PIECE_LENGTH)
    const file = await create(content.length)
    await file.writePiece(1, pieceOf(content, 1), sha256(pieceOf(content, 1)))
    await pump(file, bodyOf(content))
    assert.deepEqual(pieces.sort(), [0, 2])
    const other = await create(content.length)
    await other.writePiece(1, pieceOf(content, 1), sha256(pieceOf(content, 1)))
    const changed = contentOf(content.length, 2)
    await assert.rejects(pump(other, bodyOf(changed)), { code: 'ORIGIN_CHANGED' })
    assert.deepEqual(Buffer.from(other.digests.get(1)!), sha256(pieceOf(content, 1)))
  })

  it('that ends early or goes on too long has lied', async () => {
    const content = contentOf(2 * PIECE_LENGTH)
    const cases: [number, string][] = [
      [content.length + 1, 'ORIGIN_TRUNCATED'],
      [content.length + PIECE_LENGTH, 'ORIGIN_TRUNCATED'],
      [content.length - 1, 'ORIGIN_CHANGED'],
      [content.length - PIECE_LENGTH, 'ORIGIN_CHANGED'],
    ]
    for (const [announced, code] of cases) {
      await assert.rejects(pump(await create(announced), bodyOf(content)), { code })
    }
  })

  it('that cannot be received or stored fails with the cause, and every buffer comes back', async () => {
    const content = contentOf(6 * PIECE_LENGTH)
    const failure = new DragonflyError('DISK_FULL', 'no space')
    const full = await create(content.length)
    full.writePiece = index => (index < 2 ? Promise.resolve() : Promise.reject(failure))
    await assert.rejects(pump(full, bodyOf(content)), { code: 'DISK_FULL' })
    const broken: OriginBody = {
      read: () => Promise.reject(new DragonflyError('ORIGIN_STALLED', 'silence')),
      close() {},
    }
    await assert.rejects(pump(await create(content.length), broken), { code: 'ORIGIN_STALLED' })
    const unsealed = await create(null)
    const onLength = () => Promise.reject(failure)
    await assert.rejects(pump(unsealed, bodyOf(content.subarray(0, 5)), { onLength }), { code: 'DISK_FULL' })
    await assert.rejects(
      pump(await create(content.length), bodyOf(content), {
        onPiece: () => {
          throw failure
        },
      }),
      { code: 'DISK_FULL' },
    )
  })

  it('ends when it is cancelled, in a read and while it waits for a buffer', async () => {
    const reason = new DragonflyError('CANCELLED', 'enough')
    const content = contentOf(6 * PIECE_LENGTH)
    const reading = new AbortController()
    const body = bodyOf(content)
    const read = body.read
    let reads = 0
    body.read = (into, onBytes) => {
      if (++reads === 4) reading.abort(reason)
      return read(into, onBytes)
    }
    await assert.rejects(pump(await create(content.length), body, { signal: reading.signal }), reason)
    const taken = [await buffers.acquire(1), await buffers.acquire(1)]
    const waiting = new AbortController()
    const pumping = pump(await create(content.length), bodyOf(content), { signal: waiting.signal })
    waiting.abort(reason)
    await assert.rejects(pumping, reason)
    for (const buffer of taken) buffers.release(buffer)
  })
})
