import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import type { HostPlace } from '../wire/manager-api.ts'
import { type AssignableSupernode, assign } from './assignment.ts'

const placeOf = (text: string): HostPlace => {
  const [securityDomain, idc, location] = text.split('/').map(part => (part === '-' ? null : part))
  return { securityDomain, idc, location, rack: null }
}

/** `domain/idc/location`, and what is to be said of it. */
const supernodeOf = (id: string, place: string, more: 'busy' | '' = ''): AssignableSupernode => ({
  id,
  control: { host: id, port: 8002 },
  place: placeOf(place),
  load: { peers: 0, tasks: 0, sentBytesPerSecond: more === 'busy' ? 90 : 89, uploadLimit: 100 },
})

const show = (place: string, supernodes: readonly AssignableSupernode[], isWallOpen = false) =>
  assign(placeOf(place), supernodes, { isWallOpen }).map(
    ({ nearness, supernodes }) => `${nearness}: ${supernodes.map(({ id }) => id).join(' ')}`,
  )

const WORLD = [
  supernodeOf('s9', 'red/i1/l1'),
  supernodeOf('s1', 'red/i1/l1'),
  supernodeOf('s2', 'red/i1/l1', 'busy'),
  supernodeOf('s3', 'red/i2/l1'),
  supernodeOf('s4', 'red/i3/l2'),
  supernodeOf('s5', 'red/-/-'),
  supernodeOf('s6', 'blue/i1/l1'),
  supernodeOf('s7', '-/i1/l1'),
]

test('nearer ones come first, overloaded ones behind those that are as near', () => {
  const inRed = ['idc: s1 s9', 'idc: s2', 'location: s3', 'domain: s4 s5']
  assert.deepEqual(show('red/i1/l1', WORLD), inRed)
  assert.deepEqual(show('red/i1/l1', WORLD, true), [...inRed, 'elsewhere: s6 s7'])
})

test('what is not known of a host makes it near to nobody', () => {
  assert.deepEqual(show('red/-/l2', WORLD), ['location: s4', 'domain: s1 s3 s5 s9', 'domain: s2'])
  assert.deepEqual(show('red/-/-', WORLD), ['domain: s1 s3 s4 s5 s9', 'domain: s2'])
})

test('a host of no known domain sees supernodes of no known domain only', () => {
  assert.deepEqual(show('-/i1/-', WORLD), ['idc: s7'])
  assert.deepEqual(show('-/-/-', [supernodeOf('s1', 'red/-/-')]), [])
  assert.deepEqual(show('green/i1/l1', WORLD), [])
})

test('without an upload limit none is overloaded', () => {
  const busy = supernodeOf('s1', '-/-/-', 'busy')
  const unlimited = { ...busy, load: { ...busy.load, sentBytesPerSecond: 1e12, uploadLimit: null } }
  assert.deepEqual(show('-/-/-', [unlimited, supernodeOf('s2', '-/-/-')]), ['domain: s1 s2'])
})

const part = fc.constantFrom('a', 'b', null)
const place = fc.record({ securityDomain: part, idc: part, location: part, rack: part })
const supernodes = fc
  .array(
    fc.record({
      place,
      sentBytesPerSecond: fc.nat({ max: 100 }),
      uploadLimit: fc.option(fc.constantFrom(0, 50, 100)),
    }),
    { maxLength: 12 },
  )
  .map(list =>
    list.map(({ place, ...load }, index): AssignableSupernode => {
      const id = `s${index}`
      return { id, control: { host: id, port: 1 }, place, load: { peers: 0, tasks: 0, ...load } }
    }),
  )

const ORDER = ['idc', 'location', 'domain', 'elsewhere']

test('the wall is never crossed unless it is open; whoever may serve is there once, the nearest first', () => {
  fc.assert(
    fc.property(place, supernodes, fc.boolean(), (host, all, isWallOpen) => {
      const groups = assign(host, all, { isWallOpen })
      const ids = groups.flatMap(group => group.supernodes.map(({ id }) => id))
      const eligible = all.filter(
        supernode => isWallOpen || supernode.place.securityDomain === host.securityDomain,
      )
      assert.deepEqual(ids.toSorted(), eligible.map(({ id }) => id).toSorted())

      const ranks = groups.map(({ nearness }) => ORDER.indexOf(nearness))
      assert.deepEqual(
        ranks,
        ranks.toSorted((a, b) => a - b),
      )
      const byId = new Map(all.map(supernode => [supernode.id, supernode]))
      for (const { nearness, supernodes } of groups) {
        assert.ok(supernodes.length > 0)
        for (const { id } of supernodes) {
          const { place } = byId.get(id)!
          assert.equal(nearness === 'elsewhere', place.securityDomain !== host.securityDomain)
          if (nearness === 'idc') assert.equal(place.idc, host.idc)
          if (nearness === 'location') assert.equal(place.location, host.location)
        }
      }
      assert.deepEqual(assign(host, all.toReversed(), { isWallOpen }), groups)
    }),
  )
})

test('no answer has more than clients take, and the nearest are in it', () => {
  const crowd = (count: number, place: string) =>
    Array.from({ length: count }, (_, i) => supernodeOf(`${place}${i}`, place))
  const groups = assign(placeOf('red/i1/l1'), [...crowd(2_000, 'red/i2/l2'), ...crowd(1_000, 'red/i1/l1')], {
    isWallOpen: false,
  })
  assert.deepEqual(
    groups.map(({ nearness, supernodes }) => [nearness, supernodes.length]),
    [
      ['idc', 1_000],
      ['domain', 24],
    ],
  )
})
