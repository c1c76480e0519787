import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from './system-clock.ts'

const TIMER_MS_MAX = 2 ** 31 - 1

test('a timer may be longer than Node lets one be, and is cancelled in each part of it', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let fired = 0
  const delayMs = 2 * TIMER_MS_MAX + 5
  systemClock.schedule(delayMs, () => fired++)
  const cancels = [1, 2].map(() => systemClock.schedule(delayMs, () => assert.fail('it was cancelled')))
  cancels[0]()
  t.mock.timers.tick(TIMER_MS_MAX)
  t.mock.timers.tick(TIMER_MS_MAX)
  cancels[1]()
  t.mock.timers.tick(4)
  assert.equal(fired, 0)
  t.mock.timers.tick(1)
  assert.equal(fired, 1)
})
