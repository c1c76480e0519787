import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AbortSignalLike, type Clock, orAborted, sleep } from './clock.ts'

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
  const { signal, listeners } = watchedSignal()
  const slept = sleep(clock, 250, signal)
  assert.equal(listeners.size, 1)
  clock.fire()
  await slept
  assert.equal(listeners.size, 0)
})

test('a wait ends as its promise does, and leaves no listener on the signal', async () => {
  const { signal, listeners } = watchedSignal()
  const { promise, resolve } = Promise.withResolvers<string>()
  const waits = [orAborted(promise, signal), orAborted(Promise.reject(new Error('broken')), signal)]
  assert.equal(listeners.size, 2)
  await assert.rejects(waits[1], { message: 'broken' })
  resolve('done')
  assert.equal(await waits[0], 'done')
  assert.equal(await orAborted(promise), 'done')
  assert.equal(listeners.size, 0)
})

test('an aborted wait rejects with the reason at once, leaves no listener, and the promise may fail later', async () => {
  const { signal, listeners, abort } = watchedSignal()
  const { promise, reject } = Promise.withResolvers<string>()
  const waiting = orAborted(promise, signal)
  abort(new Error('enough'))
  await assert.rejects(waiting, { message: 'enough' })
  await assert.rejects(orAborted(Promise.resolve('done'), signal), { message: 'enough' })
  assert.equal(listeners.size, 0)
  // Rejected with nobody to take it, it would end the process.
  reject(new Error('too late'))
})

/** A signal whose listeners can be counted. */
function watchedSignal() {
  const controller = new AbortController()
  const listeners = new Set<() => void>()
  const signal: AbortSignalLike = {
    get aborted() {
      return controller.signal.aborted
    },
    get reason() {
      return controller.signal.reason
    },
    addEventListener: (_: 'abort', listener: () => void) => void listeners.add(listener),
    removeEventListener: (_: 'abort', listener: () => void) => void listeners.delete(listener),
  }
  const abort = (reason: Error) => {
    controller.abort(reason)
    for (const listener of listeners) listener()
  }
  return { signal, listeners, abort }
}
