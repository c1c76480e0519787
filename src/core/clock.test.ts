import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AbortSignalLike, type Clock, sleep } from './clock.ts'

function manualClock(): Clock & { fire(): void; pending: Set<() => void>; delays: number[] } {
  const pending = new Set<() => void>()
  const delays: number[] = []
  return {
    pending,
    delays,
    now: () => 0,
    wallNow: () => 0,
    schedule(delayMs, action) {
      delays.push(delayMs)
      pending.add(action)
      return () => pending.delete(action)
    },
    fire() {
      for (const action of pending) {
        pending.delete(action)
        action()
      }
    },
  }
}

test('a sleep ends when its time has come', async () => {
  const clock = manualClock()
  const slept = sleep(clock, 250)
  assert.deepEqual(clock.delays, [250])
  clock.fire()
  await slept
})

test('an aborted sleep rejects with the reason and leaves no timer', async () => {
  const clock = manualClock()
  const controller = new AbortController()
  const slept = sleep(clock, 250, controller.signal)
  controller.abort(new Error('enough'))
  await assert.rejects(slept, { message: 'enough' })
  assert.equal(clock.pending.size, 0)
})

test('a sleep under a signal that is aborted already starts no timer', async () => {
  const clock = manualClock()
  await assert.rejects(sleep(clock, 250, AbortSignal.abort(new Error('too late'))), { message: 'too late' })
  assert.deepEqual(clock.delays, [])
})

test('a sleep that ended leaves no listener on the signal', async () => {
  const clock = manualClock()
  const listeners = new Set<() => void>()
  const signal: AbortSignalLike = {
    aborted: false,
    reason: null,
    addEventListener: (_: 'abort', listener: () => void) => void listeners.add(listener),
    removeEventListener: (_: 'abort', listener: () => void) => void listeners.delete(listener),
  }
  const slept = sleep(clock, 250, signal)
  assert.equal(listeners.size, 1)
  clock.fire()
  await slept
  assert.equal(listeners.size, 0)
})
