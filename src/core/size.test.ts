import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { formatSize, parseSize } from './size.ts'

test('sizes are binary, whatever their unit looks like', () => {
  const table: [text: string, bytes: number][] = [
    ['0', 0],
    ['1', 1],
    ['512', 512],
    ['7B', 7],
    ['7b', 7],
    ['1K', 1024],
    ['1kb', 1024],
    ['1KiB', 1024],
    ['20M', 20 * 1024 ** 2],
    ['20MB', 20 * 1024 ** 2],
    ['64MiB', 64 * 1024 ** 2],
    ['1.5g', 1.5 * 1024 ** 3],
    ['2T', 2 * 1024 ** 4],
    [' 64 MiB ', 64 * 1024 ** 2],
    ['0.3K', 307],
  ]
  for (const [text, bytes] of table) assert.equal(parseSize(text), bytes, text)
})

test('what is not a size is a usage error', () => {
  const table = [
    '',
    ' ',
    'M',
    '-1',
    '+1',
    '1X',
    '5iB',
    '1KK',
    '1.M',
    '.5M',
    '1e3',
    '0x10',
    '1,5M',
    '1 2',
    '1Mi',
  ]
  for (const text of [...table, 'Infinity', 'NaN', '9'.repeat(400), '9007199254740992', '9000000T']) {
    assert.throws(() => parseSize(text), { code: 'USAGE' }, text)
  }
})

test('a bare number is bytes', () => {
  fc.assert(fc.property(fc.maxSafeNat(), bytes => assert.equal(parseSize(String(bytes)), bytes)))
})

test('sizes are shown with three digits and a binary unit', () => {
  const table: [bytes: number, text: string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [12.75, '13 B'],
    [1024, '1.00 KiB'],
    [1536, '1.50 KiB'],
    [20 * 1024 ** 2, '20.0 MiB'],
    [300 * 1024 ** 3, '300 GiB'],
    [5 * 1024 ** 4, '5.00 TiB'],
    [5000 * 1024 ** 4, '5000 TiB'],
  ]
  for (const [bytes, text] of table) assert.equal(formatSize(bytes), text)
})

test('a shown size reads back as nearly the same', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4 * 1024 ** 4 }), bytes => {
      assert.ok(Math.abs(parseSize(formatSize(bytes)) - bytes) <= bytes * 0.006)
    }),
  )
})
