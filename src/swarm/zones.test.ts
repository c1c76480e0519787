import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Zones } from './zones.ts'

test('a name has one number, no name is zone 0', () => {
  const zones = new Zones()
  assert.deepEqual(
    ['a', 'b', 'a', null, ''].map(name => zones.numberOf(name)),
    [1, 2, 1, 0, 0],
  )
})

test('peers that invent names do not make the table grow without end', () => {
  const zones = new Zones()
  const numbers = new Set(Array.from({ length: 5_000 }, (_, i) => zones.numberOf(`zone ${i}`)))
  assert.equal(numbers.size, 1_025)
})
