import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import { MemoryContent } from '../../test/support/memory-content.ts'
import type { LocalEvent } from '../wire/local.ts'
import type { DownloadRun } from './download-run.ts'
import { ProgressFeed } from './progress-feed.ts'

/** A feed about content of ten pieces of ten bytes, and where each of its events says that reading ends. */
function newFeed(readFrom: number | null) {
  const clock = new FakeClock()
  const content = Object.assign(new MemoryContent(new Uint8Array(100), 10), { path: '/copy' })
  const version = { generation: content.generation }
  const run = { version, file: content, isWhole: false, snapshot: () => ({}) } as unknown as DownloadRun
  const ends: (number | undefined)[] = []
  const scene = { isBehind: false, ticks: 0 }
  const feed = new ProgressFeed({
    run: () => run,
    readFrom,
    clock,
    send: (event: LocalEvent) => ends.push(event.event === 'progress' ? event.readable?.endByte : -1),
    isBehind: () => scene.isBehind,
    onTick: () => void scene.ticks++,
  })
  const hold = (...pieces: number[]) => {
    for (const piece of pieces) content.held.add(piece)
    feed.look()
  }
  const verify = () => {
    run.isWhole = true
    feed.look()
  }
  return { clock, feed, ends, scene, hold, verify }
}

test('who reads is told in the moment in which there is more to read, and only then', () => {
  const { clock, ends, hold } = newFeed(35)
  assert.deepEqual(ends, [35])
  clock.advance(50)
  hold(0, 1, 4)
  assert.deepEqual(ends, [35])
  hold(3)
  assert.deepEqual(ends, [35, 50])
  clock.advance(50)
  hold(9)
  hold(2)
  assert.deepEqual(ends, [35, 50])
})

test('who reads is told once that the whole is verified', () => {
  const { clock, ends, hold, verify } = newFeed(0)
  clock.advance(50)
  hold(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
  clock.advance(50)
  verify()
  assert.deepEqual(ends, [0, 100, 100])
  clock.advance(50)
  verify()
  assert.deepEqual(ends, [0, 100, 100])
})

test('neither the first piece nor the end of the verification waits for company', () => {
  const { clock, ends, hold, verify } = newFeed(0)
  hold(0)
  assert.deepEqual(ends, [0, 10])
  clock.advance(1)
  hold(1, 2, 3, 4, 5, 6, 7, 8, 9)
  assert.deepEqual(ends, [0, 10])
  verify()
  assert.deepEqual(ends, [0, 10, 100])
  clock.advance(50)
  assert.deepEqual(ends, [0, 10, 100])
})

test('what comes in quick succession is told together, soon', () => {
  const { clock, ends, hold } = newFeed(0)
  clock.advance(50)
  hold(0)
  for (const piece of [1, 2, 3, 4]) hold(piece)
  assert.deepEqual(ends, [0, 10])
  clock.advance(20)
  assert.deepEqual(ends, [0, 10, 50])
  clock.advance(20)
  hold(5)
  assert.deepEqual(ends, [0, 10, 50, 60])
})

test('who has not taken the last event is told the next time, all in one', () => {
  const { clock, ends, scene, hold } = newFeed(0)
  clock.advance(50)
  scene.isBehind = true
  hold(0)
  hold(1)
  clock.advance(100)
  assert.deepEqual(ends, [0])
  scene.isBehind = false
  clock.advance(50)
  assert.deepEqual(ends, [0, 20])
})

test('who does not read is told by the clock alone, and nobody after the end', () => {
  const { clock, ends, feed, scene, hold } = newFeed(null)
  hold(0, 1)
  clock.advance(199)
  assert.equal(ends.length, 1)
  clock.advance(1)
  assert.deepEqual([ends.length, scene.ticks], [2, 2])
  feed.stop()
  clock.advance(1_000)
  assert.deepEqual([ends.length, scene.ticks, clock.timerCount], [2, 2, 0])
  const reading = newFeed(0)
  reading.feed.stop()
  reading.hold(0)
  assert.deepEqual([reading.ends, reading.clock.timerCount], [[0], 0])
})
