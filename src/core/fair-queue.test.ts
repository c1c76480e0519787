import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { FairQueue } from './fair-queue.ts'

test('one line is served in the order of arrival', () => {
  const queue = new FairQueue<string>()
  const line = {}
  for (const item of ['a', 'b', 'c']) queue.push(line, 1, item)
  assert.deepEqual([queue.shift(), queue.shift(), queue.shift(), queue.shift()], ['a', 'b', 'c', undefined])
})

test('lines get the same, however many stand in them and however much each asks for at once', () => {
  const size = fc.integer({ min: 1, max: 1_000 })
  fc.assert(
    fc.property(fc.array(size, { minLength: 2, maxLength: 8 }), sizes => {
      const queue = new FairQueue<number>()
      const lines = sizes.map(() => ({}))
      const had = sizes.map(() => 0)
      // The first line is crowded; the others have one at a time, who comes again as soon as it was served.
      for (let i = 0; i < 20_000; i++) queue.push(lines[0], sizes[0], 0)
      for (let i = 1; i < sizes.length; i++) queue.push(lines[i], sizes[i], i)
      while (had[0] < 10_000) {
        const served = queue.shift()!
        had[served] += sizes[served]
        if (served > 0) queue.push(lines[served], sizes[served], served)
      }
      for (const bytes of had) assert.ok(Math.abs(bytes - had[0]) <= 2_000, String(had))
    }),
  )
})

test('a line that was away has no claim to what it did not ask for', () => {
  const queue = new FairQueue<string>()
  const [busy, late] = [{}, {}]
  for (let i = 0; i < 100; i++) queue.push(busy, 10, 'busy')
  for (let i = 0; i < 50; i++) queue.shift()
  for (let i = 0; i < 10; i++) queue.push(late, 10, 'late')
  const next = Array.from({ length: 10 }, () => queue.shift())
  assert.equal(next.filter(item => item === 'late').length, 5)
})

test('who leaves is not served, and the length is that of all lines', () => {
  const queue = new FairQueue<string>()
  const [one, other] = [{}, {}]
  queue.push(one, 1, 'a')
  queue.push(other, 1, 'b')
  assert.equal(queue.length, 2)
  assert.equal(queue.remove(one, 'a'), true)
  assert.equal(queue.remove(one, 'a'), false)
  assert.deepEqual([queue.length, queue.shift(), queue.length], [1, 'b', 0])
})
