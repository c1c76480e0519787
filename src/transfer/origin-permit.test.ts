import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../core/random.ts'
import { OriginPermit, type OriginShare } from './origin-permit.ts'

function permitWith(share: OriginShare): OriginPermit {
  const permit = new OriginPermit(true, seededRandom(1))
  permit.learn(share)
  return permit
}

function turnOf(share: OriginShare): number {
  const permit = permitWith(share)
  let idleMs = 0
  while (!permit.isDue(idleMs)) idleMs += 100
  return idleMs
}

describe('the permit to read the origin', () => {
  test('is there at once for who was never told of others, and for the first few', () => {
    assert.ok(new OriginPermit(true, seededRandom(1)).isDue(0))
    for (const rank of [0, 1, 2]) assert.equal(turnOf({ rank, readers: 3 }), 0)
  })

  test('comes turn by turn for the others, and for the last before a download counts as stalled', () => {
    const turns = [3, 6, 9, 24, 10_000].map(rank => turnOf({ rank, readers: 3 }))
    for (const [i, turn] of [1, 2, 3, 8, 8].entries()) {
      assert.ok(turns[i] >= 5_000 * turn && turns[i] <= 5_000 * (turn + 1), `${turns[i]} ms`)
    }
    assert.ok(turns.every(turnMs => turnMs < 60_000))
  })

  test('stays once it has come, until the supernode has been back', () => {
    const permit = permitWith({ rank: 3, readers: 3 })
    assert.ok(permit.isDue(10_000))
    assert.ok(permit.isDue(0))
    permit.learn({ rank: 3, readers: 3 })
    assert.ok(!permit.isDue(0))
  })

  test('never comes where it is not given', () => {
    assert.ok(!new OriginPermit(false, seededRandom(1)).isDue(Number.POSITIVE_INFINITY))
  })

  test('lets readers at the same time begin in different places', () => {
    const starts = [0, 1, 2, 3].map(rank => permitWith({ rank, readers: 3 }).startIn(90))
    assert.deepEqual(starts, [0, 30, 60, 0])
  })
})
