import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { HungryQueue, type Place } from './hungry-queue.ts'
import { newMember } from './member.ts'

test('who waits longest is taken first, who waits already keeps its place, who has gone is passed over, the line turns', () => {
  const members = Array.from({ length: 8 }, (_, host) => newMember({ host }, 0))
  const verb = fc.constantFrom(
    'add' as const,
    'add' as const,
    'delete' as const,
    'take' as const,
    'rotate' as const,
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(verb, fc.nat(7)), { maxLength: 400 }), steps => {
      const queue = new HungryQueue()
      const places: (Place | null)[] = members.map(() => null)
      const model: number[] = []
      for (const [does, host] of steps) {
        const at = model.indexOf(host)
        if (does === 'add') {
          places[host] = queue.add(members[host], places[host])
          if (at < 0) model.push(host)
        } else if (does === 'delete') {
          if (places[host]) queue.delete(places[host])
          places[host] = null
          if (at >= 0) model.splice(at, 1)
        } else if (does === 'rotate') {
          queue.rotate(host)
          for (let i = 0; i < host && model.length > 0; i++) model.push(model.shift()!)
        } else {
          assert.equal(queue.takeFirst()?.host, model.shift())
        }
        assert.equal(queue.size, model.length)
      }
    }),
  )
})
