import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { Rarity } from './rarity.ts'

const SIZE = 12

test('pieces stay in the order of their copies, whatever is added, gained and lost', () => {
  const step = fc.record({ piece: fc.nat(SIZE - 1), kind: fc.constantFrom('add', 'increase', 'decrease') })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const rarity = new Rarity(SIZE)
      const copies = new Array(SIZE).fill(0)
      const added = new Set<number>()
      for (const { piece, kind } of steps) {
        if (kind === 'add') {
          rarity.add(piece)
          added.add(piece)
        } else if (kind === 'increase') {
          rarity.increase(piece)
          copies[piece]++
        } else if (copies[piece] > 0) {
          rarity.decrease(piece)
          copies[piece]--
        }
        const order = Array.from({ length: rarity.length }, (_, place) => rarity.at(place))
        assert.deepEqual(new Set(order), added)
        const counts = order.map(each => copies[each])
        assert.deepEqual(
          counts,
          counts.toSorted((a, b) => a - b),
        )
        assert.deepEqual(new Set(rarity.fresh.members()), new Set(order.filter(each => copies[each] === 0)))
        // 0–2, 3–14, 15–62, … copies.
        const classOf = (piece: number) => [2, 14, 62, 254].findIndex(most => copies[piece] <= most)
        for (const [rareness, pieces] of rarity.classes.entries())
          assert.deepEqual(
            new Set(pieces.members()),
            new Set(order.filter(piece => classOf(piece) === rareness)),
          )
      }
    }),
  )
})

test('a table that grows keeps its order, and a copy that nobody has is not lost', () => {
  const rarity = new Rarity(1)
  rarity.increase(0)
  rarity.add(0)
  rarity.resize(3)
  rarity.add(2)
  assert.deepEqual([rarity.at(0), rarity.at(1), rarity.copiesOf(0)], [2, 0, 1])
  assert.throws(() => rarity.decrease(2))
})
