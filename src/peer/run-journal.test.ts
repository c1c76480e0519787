import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MIB, newScene, SEED } from '../../test/support/download-scene.ts'
import { FakeClock } from '../../test/support/fake-clock.ts'
import type { DownloadEvent } from '../transfer/events.ts'
import { RunJournal } from './run-journal.ts'

/** A scene's machine whose journal is kept; both live by the same clock. */
function watched(hasSupernode = true) {
  const clock = new FakeClock()
  const journal = new RunJournal(clock)
  const scene = newScene({ hasSupernode })
  journal.note(null, scene.log, scene.machine)
  const send = (event: DownloadEvent) => journal.note(event, scene.send(event), scene.machine)
  return {
    scene,
    journal,
    send,
    /** Ticks and all. */
    pass(ms: number) {
      const endMs = scene.nowMs + ms
      while (scene.nowMs < endMs) {
        const stepMs = Math.min(200, endMs - scene.nowMs)
        clock.advance(stepMs)
        scene.nowMs += stepMs
        send({ type: 'tick' })
      }
    },
    /** No tick either. */
    stand(ms: number) {
      clock.advance(ms)
      scene.nowMs += ms
    },
    join() {
      send({ type: 'layout', version: scene.version, digest: null, knownDigests: [0, 1, 2, 3] })
      send({ type: 'prepared' })
    },
    assign(piece: number, source: string) {
      send({ type: 'assigned', pieces: [{ piece, source }] })
      return journal.receiver(piece, source)
    },
    fetched(piece: number, source: string, elapsedMs = 100) {
      send({ type: 'fetched', piece, source, bytes: MIB, elapsedMs })
    },
  }
}

test('each wait is what was waited for, and all times are the whole', () => {
  const run = watched()
  run.pass(40)
  run.join()
  run.pass(30)
  const receive = run.assign(0, 'a:1')
  run.pass(20)
  receive(10)
  run.pass(100)
  receive(MIB - 10)
  run.pass(5)
  run.fetched(0, 'a:1')
  run.pass(7)
  const { durationMs, timeMs, sources } = run.journal.summary()
  assert.deepEqual(timeMs, { layout: 40, schedule: 37, slot: 20, transfer: 100, disk: 5 })
  assert.equal(durationMs, 202)
  assert.deepEqual(sources, [{ address: 'a:1', kind: 'peer', bytes: MIB, pieces: 1, receiveMs: 105 }])
})

test('what is stored is looked through before there is a machine, and written after the last byte', () => {
  const run = watched()
  run.join()
  run.journal.storing()
  run.pass(12)
  run.fetched(0, SEED)
  run.pass(3)
  const { timeMs, sources } = run.journal.summary()
  assert.deepEqual(timeMs, { disk: 12, schedule: 3 })
  assert.deepEqual([sources[0].kind, sources[0].receiveMs], ['supernode', 0])
})

test('a source is slow once all that is on its way is late by the rule of the machine', () => {
  const run = watched()
  run.join()
  const slow = run.assign(0, 'a:1')
  slow(1)
  run.pass(10_000)
  const { timeMs } = run.journal.summary()
  assert.deepEqual([timeMs.transfer, timeMs.slow], [8_200, 1_800], 'to the next tick')
  const other = run.assign(1, 'b:2')
  other(1)
  run.pass(1_000)
  assert.equal(run.journal.summary().timeMs.transfer, 9_200)
})

test('retries have a cause and a source, and as many as the machine counts', () => {
  const run = watched()
  run.join()
  run.assign(0, 'a:1')
  run.send({ type: 'fetch-failed', piece: 0, source: 'a:1', code: 'SOURCE_GONE' })
  run.assign(0, 'b:2')
  run.send({ type: 'revoked', pieces: [{ piece: 0, source: 'b:2' }] })
  run.send({ type: 'fetch-failed', piece: 0, source: 'b:2', code: 'CANCELLED' })
  for (const piece of [0, 1, 2, 3]) {
    run.assign(piece, 'c:3')
    if (piece < 3) run.fetched(piece, 'c:3')
  }
  for (let i = 0; i < 4; i++) run.fetched(0, 'c:3')
  run.pass(16_000)
  const { retries, retryCount } = run.journal.summary()
  assert.deepEqual(retries, [
    { source: 'a:1', code: 'SOURCE_GONE', count: 1 },
    { source: 'c:3', code: 'SOURCE_SLOW', count: 1 },
  ])
  assert.equal(retryCount, run.scene.machine.retries)
})

test('the origin has its own time, failures and bytes', () => {
  const run = watched(false)
  run.pass(30)
  run.send({ type: 'origin-failed', code: 'ORIGIN_UNREACHABLE', message: 'no' })
  run.pass(1_000)
  run.send({ type: 'origin-answered', kind: 'content', version: run.scene.version })
  run.send({ type: 'prepared' })
  run.journal.originBytes()
  run.pass(400)
  run.send({ type: 'origin-piece', piece: 0, bytes: MIB })
  run.pass(3_000)
  const { timeMs, sources, retries } = run.journal.summary()
  assert.deepEqual(retries, [{ source: 'origin', code: 'ORIGIN_UNREACHABLE', count: 1 }])
  assert.ok(timeMs.backoff! >= 200 && timeMs.origin! >= 2_000, JSON.stringify(timeMs))
  assert.equal(sources[0].bytes, MIB)
})

test('a machine that was suspended says so', () => {
  const run = watched()
  run.join()
  run.pass(100)
  run.stand(60_000)
  run.send({ type: 'tick' })
  const { timeMs } = run.journal.summary()
  assert.deepEqual(timeMs, { schedule: 2_100, standstill: 58_000 })
})
