import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { formatRangeHeader, parseContentRange, parseRangeHeader } from './byte-range.ts'

const range = fc
  .tuple(fc.maxSafeNat(), fc.integer({ min: 1, max: 1_000_000 }))
  .map(([start, length]) => ({ start: start % 1e14, end: (start % 1e14) + length }))

test('a formatted range parses to itself', () => {
  fc.assert(
    fc.property(range, ({ start, end }) => {
      assert.deepEqual(parseRangeHeader(formatRangeHeader(start, end)), { start, end })
    }),
  )
})

test('the header names the last byte, not the one behind it', () => {
  assert.equal(formatRangeHeader(0, 100), 'bytes=0-99')
  assert.equal(formatRangeHeader(7, 8), 'bytes=7-7')
  assert.equal(formatRangeHeader(7, null), 'bytes=7-')
})

test('a range without bytes cannot be asked for', () => {
  assert.throws(() => formatRangeHeader(5, 5))
  assert.throws(() => formatRangeHeader(-1, 5))
})

test('only one first-last range is accepted', () => {
  const table: [value: string, expected: { start: number; end: number } | null][] = [
    ['bytes=0-0', { start: 0, end: 1 }],
    ['BYTES=5-9', { start: 5, end: 10 }],
    ['bytes=5-4', null],
    ['bytes=5-', null],
    ['bytes=-5', null],
    ['bytes=0-1,4-5', null],
    ['bytes=0-1 ', null],
    ['bytes= 0-1', null],
    ['bytes=0x1-2', null],
    ['bytes=1e3-2e3', null],
    ['bytes=0-9999999999999999', null],
    ['items=0-1', null],
    ['', null],
  ]
  for (const [value, expected] of table) assert.deepEqual(parseRangeHeader(value), expected, value)
})

test('a content range is accepted where it lies within the complete length', () => {
  const table: [value: string, expected: ReturnType<typeof parseContentRange>][] = [
    ['bytes 0-99/200', { start: 0, end: 100, completeLength: 200 }],
    ['bytes 100-199/200', { start: 100, end: 200, completeLength: 200 }],
    ['Bytes 0-0/1', { start: 0, end: 1, completeLength: 1 }],
    ['bytes 0-99/*', { start: 0, end: 100, completeLength: null }],
    [' bytes 0-99/200 ', { start: 0, end: 100, completeLength: 200 }],
    ['bytes 100-200/200', null],
    ['bytes 9-8/200', null],
    ['bytes */200', null],
    ['bytes=0-99/200', null],
    ['bytes 0-99', null],
    ['bytes 0-99/200, bytes 0-99/200', null],
    ['', null],
  ]
  for (const [value, expected] of table) assert.deepEqual(parseContentRange(value), expected, value)
})
