import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OriginRanks } from './origin-ranks.ts'

test('ranks are 0, 1, 2, … and stay; what is given back is given next', () => {
  const ranks = new OriginRanks()
  assert.deepEqual(
    [7, 5, 9, 5].map(host => ranks.rankOf(host)),
    [0, 1, 2, 1],
  )
  ranks.giveBack(7)
  ranks.giveBack(7)
  ranks.giveBack(42)
  assert.deepEqual(
    [4, 3, 9].map(host => ranks.rankOf(host)),
    [0, 3, 2],
  )
})
