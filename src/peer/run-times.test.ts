import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { RunTimes, TIME_REASONS } from './run-times.ts'

test('the times of all reasons add up to the whole, to the millisecond', () => {
  const step = fc.record({
    reason: fc.constantFrom(...TIME_REASONS),
    ms: fc.double({ min: 0, max: 10_000, noNaN: true }),
    lostMs: fc.double({ min: 0, max: 5_000, noNaN: true }),
  })
  fc.assert(
    fc.property(fc.array(step), fc.double({ min: 0, max: 1e6, noNaN: true }), (steps, startedAt) => {
      let now = startedAt
      const times = new RunTimes('disk', now)
      for (const { reason, ms, lostMs } of steps) {
        now += ms
        times.switchTo(reason, now, lostMs)
      }
      const { durationMs, timeMs } = times.totals(now + 3)
      assert.equal(
        Object.values(timeMs).reduce((sum, ms) => sum + ms, 0),
        durationMs,
      )
      assert.ok(Math.abs(durationMs - (now + 3 - startedAt)) <= 0.5 + 1e-6)
      assert.ok(Object.values(timeMs).every(ms => Number.isInteger(ms) && ms > 0))
    }),
  )
})

test('time belongs to the reason that held while it passed', () => {
  const times = new RunTimes('layout', 100)
  times.switchTo('schedule', 150)
  times.switchTo('transfer', 250)
  times.switchTo('transfer', 5_250, 3_000)
  times.switchTo('digest', 5_300)
  assert.deepEqual(times.totals(5_310), {
    durationMs: 5_210,
    timeMs: { layout: 50, schedule: 100, transfer: 2_050, standstill: 3_000, digest: 10 },
  })
})

test('a clock that does not go on takes nothing away', () => {
  const times = new RunTimes('disk', 100)
  times.switchTo('origin', 90)
  assert.deepEqual(times.totals(110), { durationMs: 10, timeMs: { origin: 10 } })
})
