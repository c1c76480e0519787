import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateFloor } from './rate-floor.ts'

const STEP_MS = 200
const FLOOR = 1_000

type Course = { rate: number; heldShare?: number; isReceiving?: boolean; stepMs?: number }

/** Looks for so many seconds; returns after how many the rate was below the floor, or null. */
function below(seconds: number, course: (second: number) => Course): number | null {
  let moment = { now: 0, bytes: 0, heldMs: 0, isReceiving: true }
  const floor = new RateFloor(FLOOR, moment)
  while (moment.now < seconds * 1_000) {
    const { rate, heldShare = 0, isReceiving = true, stepMs = STEP_MS } = course(moment.now / 1_000)
    moment = {
      now: moment.now + stepMs,
      bytes: moment.bytes + (rate * stepMs) / 1_000,
      heldMs: moment.heldMs + heldShare * stepMs,
      isReceiving,
    }
    if (floor.isBelow(moment)) return moment.now / 1_000
  }
  return null
}

test('a whole minute below it is too slow, and nothing less', () => {
  assert.equal(
    below(300, () => ({ rate: FLOOR * 0.9 })),
    60,
  )
  assert.equal(
    below(59, () => ({ rate: 0 })),
    null,
  )
  assert.equal(
    below(300, () => ({ rate: FLOOR * 1.1 })),
    null,
  )
})

test('what comes in lumps counts by its mean', () => {
  assert.equal(
    below(300, second => ({ rate: second % 30 < 1 ? FLOOR * 40 : 0 })),
    null,
  )
})

test('a download that a limit holds is not too slow, one whose source trickles beside a limit is', () => {
  assert.equal(
    below(600, () => ({ rate: FLOOR / 10, heldShare: 1 })),
    null,
  )
  assert.equal(
    below(600, () => ({ rate: FLOOR / 10, heldShare: 0.95 })),
    null,
  )
  assert.equal(
    below(600, () => ({ rate: FLOOR / 10, heldShare: 0.25 })),
    80,
  )
})

test('time counts in which there is something to receive, and in which the process lived', () => {
  assert.equal(
    below(600, () => ({ rate: 0, isReceiving: false })),
    null,
  )
  assert.equal(
    below(3_600, () => ({ rate: 0, stepMs: 600_000 })),
    null,
  )
})
