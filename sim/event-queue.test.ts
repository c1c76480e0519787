import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../test/support/properties.ts'
import { EventQueue } from './event-queue.ts'

test('what is due comes by time, and at the same time in the order of scheduling', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { maxLength: 60 }), times => {
      const queue = new EventQueue()
      const seen: [number, number][] = []
      times.forEach((at, i) => {
        queue.at(at, () => seen.push([queue.now, i]))
      })
      while (queue.step());
      const expected = times.map((at, i) => [at, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1])
      assert.deepEqual(seen, expected)
      assert.equal(queue.isEmpty, true)
    }),
  )
})

test('what is scheduled for this moment comes after all that was scheduled for it before', () => {
  const queue = new EventQueue()
  const seen: string[] = []
  queue.at(1, () => {
    seen.push('first')
    queue.after(0, () => seen.push('third'))
    queue.at(0, () => seen.push('fourth'))
  })
  queue.at(1, () => seen.push('second'))
  queue.at(2, () => seen.push('fifth'))
  while (queue.step());
  assert.deepEqual(seen, ['first', 'second', 'third', 'fourth', 'fifth'])
})

test('what is cancelled does not happen, and what is past happens now', () => {
  const queue = new EventQueue()
  const seen: string[] = []
  const cancelled = queue.after(1, () => seen.push('cancelled'))
  queue.after(2, () => {
    queue.at(1, () => seen.push(`late at ${queue.now}`))
  })
  cancelled.action = null
  while (queue.step());
  assert.deepEqual(seen, ['late at 2'])
})
