import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { SmallSet } from './small-set.ts'

test('does what a Set does, in the same order', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('add' as const, 'delete' as const), fc.nat(5)))
  fc.assert(
    fc.property(steps, steps => {
      const [small, model] = [new SmallSet(), new Set<number>()]
      for (const [does, number] of steps) {
        if (does === 'add') {
          small.add(number)
          model.add(number)
        } else assert.equal(small.delete(number), model.delete(number))
        assert.deepEqual([[...small], small.size, small.has(0)], [[...model], model.size, model.has(0)])
      }
    }),
  )
})
