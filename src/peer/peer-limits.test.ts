import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import { PeerLimits } from './peer-limits.ts'

const limitsOf = (total: number | null) => new PeerLimits(total, new FakeClock())

test('a task is as fast as the most generous of those who wait for it allows', () => {
  const limits = limitsOf(null)
  const task = limits.openTask()
  const leave = [limits.join(task, 100), limits.join(task, 300)]
  assert.equal(task.limiter.rateBytesPerSecond, 300)
  const unlimited = limits.join(task, null)
  assert.equal(task.limiter.rateBytesPerSecond, null)
  unlimited()
  leave[1]()
  assert.equal(task.limiter.rateBytesPerSecond, 100)
  leave[0]()
  assert.equal(task.limiter.rateBytesPerSecond, 100, 'the last one out changes nothing')
})

test('the local limit is that of every task under way, and of those to come that name none', () => {
  const limits = limitsOf(null)
  const running = limits.openTask()
  limits.join(running, 500)
  limits.change({ local: 200 })
  assert.equal(running.limiter.rateBytesPerSecond, 200)
  const later = limits.openTask()
  limits.join(later, null)
  assert.equal(later.limiter.rateBytesPerSecond, 200)
  limits.join(later, 700)
  assert.equal(later.limiter.rateBytesPerSecond, 700)
  limits.change({ local: null })
  assert.deepEqual([running.limiter.rateBytesPerSecond, later.limiter.rateBytesPerSecond], [null, null])
})

test('the total limit holds for sending and for receiving; what is not named stays', () => {
  const limits = limitsOf(1_000)
  limits.change({ local: 10 })
  assert.deepEqual(limits.status(), { total: 1_000, local: 10 })
  limits.change({ total: null })
  assert.deepEqual(limits.status(), { total: null, local: 10 })
  limits.change({ total: 5 })
  assert.deepEqual([limits.upload.rateBytesPerSecond, limits.download.rateBytesPerSecond], [5, 5])
})
