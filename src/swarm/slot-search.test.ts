import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlotSearch } from './slot-search.ts'

/** Pieces from a host that sends `up` and consumers that take 1 each, always as many as it has slots. Returns the slots after each. */
function serve(search: SlotSearch, up: number, pieces: number, most = 0): number[] {
  const seen: number[] = []
  const underWay: number[] = []
  for (let i = 0; i < pieces; i++) {
    while (underWay.length < search.slots) underWay.push(search.slots)
    const beganWith = underWay.shift()!
    const load = underWay.length + 1
    search.record(Math.min(1, up / Math.max(load, beganWith)), most, load)
    seen.push(search.slots)
  }
  return seen
}

for (const up of [1, 2, 3, 5, 10, 40]) {
  test(`a link that carries ${up} at full rate gets about as many slots, soon`, () => {
    const search = new SlotSearch()
    const seen = serve(search, up, 40 * up)
    const late = seen.slice(6 * up)
    const mean = late.reduce((sum, slots) => sum + slots, 0) / late.length
    assert.ok(mean >= 0.8 * up && mean <= Math.max(1.3 * up, up + 0.5), `${mean} on average`)
  })
}

test('where slots stay empty nothing is learnt from the pieces that come', () => {
  const search = new SlotSearch()
  serve(search, 10, 200)
  const { slots } = search
  for (let i = 0; i < 200; i++) search.record(0.9, 0, 1)
  assert.equal(search.slots, slots)
})

test('a consumer that is slow by itself does not count as crowded', () => {
  const search = new SlotSearch()
  serve(search, 8, 100)
  const { slots } = search
  for (let i = 0; i < 5 * slots; i++) search.record(0.1, 0.1, slots)
  assert.ok(search.slots >= slots)
})

test('a link that has become slower gets fewer slots, one that has become faster more', () => {
  const search = new SlotSearch()
  serve(search, 10, 400)
  serve(search, 2, 200, 1)
  assert.ok(search.slots <= 3, `${search.slots}`)
  serve(search, 10, 4_000, 1)
  assert.ok(search.slots >= 8, `${search.slots}`)
})

test('one incredible report costs slots for a while only', () => {
  const search = new SlotSearch()
  serve(search, 10, 400)
  search.record(1e6, 0, search.slots)
  serve(search, 10, 2_000)
  assert.ok(search.slots >= 8, `${search.slots}`)
})
