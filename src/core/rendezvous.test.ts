import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { rendezvousOrder } from './rendezvous.ts'

const order = (key: string, ids: readonly string[]) => rendezvousOrder(key, ids, id => id)
const ids = fc.uniqueArray(fc.string(), { maxLength: 20 })

test('every item is there once, in an order that does not depend on the given one', () => {
  fc.assert(
    fc.property(fc.string(), ids, fc.infiniteStream(fc.nat()), (key, items, chance) => {
      const ordered = order(key, items)
      assert.deepEqual([...ordered].sort(), [...items].sort())
      const shuffled = items
        .map(item => ({ item, place: chance.next().value as number }))
        .sort((a, b) => a.place - b.place)
      const again = order(
        key,
        shuffled.map(({ item }) => item),
      )
      assert.deepEqual(again, ordered)
    }),
  )
})

test('whoever drops out or comes in changes nothing about the order of the others', () => {
  fc.assert(
    fc.property(fc.string(), ids, fc.nat(), (key, items, at) => {
      const gone = items[at % Math.max(1, items.length)]
      assert.deepEqual(
        order(
          key,
          items.filter(id => id !== gone),
        ),
        order(key, items).filter(id => id !== gone),
      )
    }),
  )
})

const shaOf = (index: number) => index.toString(16).padStart(64, '0')
const NAMINGS: Record<string, (index: number) => string> = {
  numbers: index => `${index}`,
  addresses: index => `10.0.0.${index + 1}:8002`,
  names: index => `supernode-${index}.dc1.example.com:8002`,
  'long and alike': index => `${'x'.repeat(200)}${index}`,
}
const KEYS: Record<string, (index: number) => string> = {
  'digits alike': shaOf,
  spread: index => Math.imul(index, 0x9e3779b1).toString(16),
  short: index => `${index}`,
}

for (const [naming, idOf] of Object.entries(NAMINGS)) {
  for (const [keying, keyOf] of Object.entries(KEYS)) {
    test(`a thousand tasks are spread over eight supernodes, first and second: ${naming}, keys ${keying}`, () => {
      const items = Array.from({ length: 8 }, (_, index) => idOf(index))
      for (const place of [0, 1]) {
        const counts = new Map(items.map(id => [id, 0]))
        const tasks = 8_000
        for (let index = 0; index < tasks; index++) {
          const id = order(keyOf(index), items)[place]
          counts.set(id, counts.get(id)! + 1)
        }
        const fair = tasks / items.length
        // Five standard deviations of a fair draw are ±15 %.
        for (const [id, count] of counts) assert.ok(Math.abs(count / fair - 1) < 0.15, `${id}: ${count}`)
      }
    })
  }
}

test('the tasks of a lost supernode are spread over all others', () => {
  const items = Array.from({ length: 8 }, (_, index) => `10.0.0.${index}:8002`)
  const heirs = new Map<string, number>()
  let moved = 0
  for (let index = 0; moved < 7_000; index++) {
    const [first, second] = order(shaOf(index), items)
    if (first !== items[3]) continue
    moved++
    heirs.set(second, (heirs.get(second) ?? 0) + 1)
  }
  assert.equal(heirs.size, 7)
  for (const [id, count] of heirs) assert.ok(Math.abs(count / 1_000 - 1) < 0.16, `${id}: ${count}`)
})

test('key and id are told apart', () => {
  const items = Array.from({ length: 30 }, (_, index) => `b${index}`)
  assert.notDeepEqual(
    order('ab', items).map(id => id),
    rendezvousOrder('a', items, id => `b${id}`),
  )
})

test('the order of known names is the one that every version computes', () => {
  const items = Array.from({ length: 8 }, (_, index) => `10.0.0.${index + 1}:8002`)
  const lastDigits = (key: string) => order(key, items).map(id => Number(id.slice(7, 8)))
  assert.deepEqual(lastDigits('a'.repeat(64)), [6, 3, 2, 8, 4, 7, 1, 5])
  assert.deepEqual(lastDigits(''), [1, 8, 4, 7, 6, 3, 5, 2])
  assert.deepEqual(order('é€', ['', 'a', 'ü']), ['a', '', 'ü'])
})
