import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { jitter, pickIndex, seededRandom } from './random.ts'

const take = (seed: number, count: number) => {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => random.next())
}

test('the sequence of a seed is the same in every release', () => {
  assert.deepEqual(
    take(1, 3).map(value => value * 2 ** 32),
    [2693262067, 11749833, 2265367787],
  )
})

test('the same seed gives the same sequence, another seed another', () => {
  fc.assert(
    fc.property(fc.integer(), seed => {
      assert.deepEqual(take(seed, 20), take(seed, 20))
      assert.notDeepEqual(take(seed, 20), take(seed + 1, 20))
    }),
  )
})

test('values lie in [0, 1) and spread evenly', () => {
  const tenths = new Array<number>(10).fill(0)
  for (const value of take(7, 100_000)) {
    assert.ok(value >= 0 && value < 1)
    tenths[Math.floor(value * 10)]++
  }
  for (const count of tenths) assert.ok(Math.abs(count - 10_000) < 500, `${count} of 100000 in one tenth`)
})

test('a picked index is below its bound', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 100_000 }), (seed, bound) => {
      const index = pickIndex(seededRandom(seed), bound)
      assert.ok(Number.isInteger(index) && index >= 0 && index < bound)
    }),
  )
})

test('jitter stays within half of the base on either side', () => {
  assert.equal(jitter({ next: () => 0 }, 100), 50)
  assert.equal(jitter({ next: () => 0.5 }, 100), 100)
  assert.ok(jitter({ next: () => 1 - Number.EPSILON }, 100) < 150)
})
