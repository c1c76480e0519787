import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlotTime } from './slot-time.ts'

test('a slot lasts a few times as long as pieces take, within limits', () => {
  const table: [elapsedMs: number, ms: number][] = [
    [10, 125],
    [200, 600],
    [60_000, 15_000],
  ]
  for (const [elapsedMs, expected] of table) {
    const time = new SlotTime()
    for (let i = 0; i < 100; i++) time.record(elapsedMs)
    assert.equal(Math.round(time.ms), expected)
  }
})

test('a piece that is expected to take longer has its slot for longer, up to a limit', () => {
  const time = new SlotTime()
  time.record(100)
  assert.deepEqual(
    [0, 50, 200, 1_000, 1e9].map(expectedMs => time.msFor(expectedMs)),
    [300, 300, 600, 3_000, 15_000],
  )
})

function msUntilPatient(time: SlotTime): number[] {
  const seen: number[] = []
  for (let i = 0; i < 6; i++) {
    seen.push(time.ms)
    time.expire()
  }
  return seen
}

test('while no piece comes each slot lasts twice as long as the last, until one comes', () => {
  const time = new SlotTime()
  time.record(50)
  assert.deepEqual(msUntilPatient(time), [150, 300, 600, 1_200, 2_400, 4_800])
  time.record(50)
  assert.equal(time.ms, 150)
})

test('before the first piece a second consumer is tried soon, and further ones hardly', () => {
  const time = new SlotTime()
  assert.deepEqual(msUntilPatient(time), [125, 1_000, 8_000, 8_000, 8_000, 8_000])
  time.record(200)
  assert.equal(time.ms, 600)
})
