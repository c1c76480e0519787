import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { Bitmap } from './bitmap.ts'

type Step = { verb: 'add' | 'delete'; index: number } | { verb: 'resize'; index: number }

const step: fc.Arbitrary<Step> = fc.record({
  verb: fc.constantFrom('add' as const, 'delete' as const, 'resize' as const),
  index: fc.nat(70),
})

test('a bitmap behaves like a set of indices below its size', () => {
  fc.assert(
    fc.property(fc.nat(70), fc.array(step, { maxLength: 80 }), (initialSize, steps) => {
      let size = initialSize
      let model = new Set<number>()
      const bitmap = new Bitmap(size)
      for (const { verb, index } of steps) {
        if (verb === 'resize') {
          bitmap.resize(index)
          size = index
          model = new Set([...model].filter(member => member < size))
        } else if (verb === 'delete') {
          assert.equal(bitmap.delete(index), model.delete(index))
        } else if (index < size) {
          assert.equal(bitmap.add(index), !model.has(index))
          model.add(index)
        } else {
          assert.throws(() => bitmap.add(index))
        }
        assertSame(bitmap, model, size)
      }
    }),
  )
})

function assertSame(bitmap: Bitmap, model: ReadonlySet<number>, size: number): void {
  assert.equal(bitmap.size, size)
  assert.equal(bitmap.count, model.size)
  assert.equal(bitmap.isFull, model.size === size)
  assert.deepEqual(
    [...bitmap.members()],
    [...model].sort((a, b) => a - b),
  )
  for (let index = 0; index < size + 9; index++) assert.equal(bitmap.has(index), model.has(index))
}

/** Few members, or few missing ones, so that whole bytes are empty or full. */
const members = fc
  .tuple(fc.nat(200), fc.uniqueArray(fc.nat(199), { maxLength: 20 }), fc.boolean())
  .map(([size, few, isSparse]) => ({
    size,
    indices: Array.from({ length: size }, (_, index) => index).filter(
      index => few.includes(index) === isSparse,
    ),
  }))

test('the first missing and the first held index are what a search one by one finds', () => {
  fc.assert(
    fc.property(members, fc.nat(210), ({ size, indices }, from) => {
      const bitmap = of(size, indices)
      const all = Array.from({ length: Math.max(0, size - from) }, (_, i) => from + i)
      assert.equal(bitmap.firstMissing(from), all.find(index => !indices.includes(index)) ?? size)
      assert.equal(bitmap.firstHeld(from), all.find(index => indices.includes(index)) ?? size)
    }),
  )
})

test('encoding and decoding gives the same set', () => {
  fc.assert(
    fc.property(members, ({ size, indices }) => {
      const bitmap = of(size, indices)
      const again = Bitmap.decode(bitmap.encode(), size)
      assert.deepEqual([...again.members()], [...bitmap.members()])
      assert.equal(again.count, bitmap.count)
    }),
  )
})

test('bit i of byte ⌊i/8⌋ is index i, least significant first', () => {
  assert.deepEqual(of(12, [0, 3, 8, 11]).encode(), Uint8Array.of(0b0000_1001, 0b0000_1001))
})

test('decoding ignores bits beyond the size and takes missing bytes as zero', () => {
  assert.deepEqual([...Bitmap.decode(Uint8Array.of(0xff, 0xff), 3).members()], [0, 1, 2])
  assert.deepEqual([...Bitmap.decode(new Uint8Array(), 20).members()], [])
})

test('what encode returns is a copy', () => {
  const bitmap = of(8, [1])
  bitmap.encode()[0] = 0xff
  assert.deepEqual([...bitmap.members()], [1])
})

test('an index or a size outside the naturals is a programmer’s error', () => {
  assert.throws(() => new Bitmap(-1))
  assert.throws(() => new Bitmap(1.5))
  assert.throws(() => new Bitmap(8).add(-1))
  assert.throws(() => new Bitmap(8).add(8))
})

test('the empty bitmap is full', () => {
  assert.equal(new Bitmap(0).isFull, true)
})

function of(size: number, indices: readonly number[]): Bitmap {
  const bitmap = new Bitmap(size)
  for (const index of indices) bitmap.add(index)
  return bitmap
}
