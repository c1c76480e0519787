import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { formatRate, formatRateLimit, parseRate, parseRateLimit } from './rate.ts'

test('bits have decimal units, bytes binary ones', () => {
  const table: [text: string, rate: number][] = [
    ['8bit', 1],
    ['1Kbit', 125],
    ['100Mbit', 12.5e6],
    ['100 mbit/s', 12.5e6],
    ['100Mbits', 12.5e6],
    ['100Mbitps', 12.5e6],
    ['2Gbit', 250e6],
    ['0.5Tbit', 62.5e9],
    ['12MiB', 12 * 1024 ** 2],
    ['12MiB/s', 12 * 1024 ** 2],
    ['20M', 20 * 1024 ** 2],
    ['20MB', 20 * 1024 ** 2],
    [' 7 ', 7],
  ]
  for (const [text, rate] of table) assert.equal(parseRate(text), rate, text)
})

test('what is no rate is a usage error that says so', () => {
  const table = ['', 'bit', '-1Mbit', '1Xbit', '1Mibit', '1e3bit', '/s', 'fast', `${'9'.repeat(400)}bit`]
  for (const text of table)
    assert.throws(() => parseRate(text), { code: 'USAGE', message: /is not a rate/ }, text)
  for (const text of ['0', '0bit', '0M'])
    assert.throws(() => parseRate(text), { code: 'USAGE', message: /never end/ })
})

test('rates are shown in bits with up to four digits', () => {
  const table: [rate: number, text: string][] = [
    [1, '8 bit/s'],
    [125, '1 Kbit/s'],
    [12.5e6, '100 Mbit/s'],
    [12 * 1024 ** 2, '100.7 Mbit/s'],
    [250e6, '2 Gbit/s'],
    [Number.POSITIVE_INFINITY, 'unlimited'],
  ]
  for (const [rate, text] of table) assert.equal(formatRate(rate), text)
})

test('a shown rate reads back as nearly the same', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e12 }), rate => {
      assert.ok(Math.abs(parseRate(formatRate(rate).replace(' ', '')) - rate) <= rate * 0.001)
    }),
  )
})

test('a limit is written as in dfget 1.x, and 0 is none', () => {
  const table: [text: string, limit: number | null, shown: string][] = [
    ['20M', 20 * 1024 ** 2, '20MB'],
    ['20m', 20 * 1024 ** 2, '20MB'],
    ['20MB', 20 * 1024 ** 2, '20MB'],
    ['1000KB', 1000 * 1024, '1000KB'],
    ['1000k', 1000 * 1024, '1000KB'],
    ['2g', 2 * 1024 ** 3, '2GB'],
    ['4096', 4096, '4KB'],
    ['4097', 4097, '4097B'],
    ['100Mbit', 12.5e6, '12500000B'],
    ['0', null, '0'],
    ['0B', null, '0'],
    ['0MB', null, '0'],
    [' 0/s ', null, '0'],
  ]
  for (const [text, limit, shown] of table) {
    assert.equal(parseRateLimit(text), limit, text)
    assert.equal(formatRateLimit(limit), shown, text)
  }
  for (const text of ['', 'fast', '-1', '0x', '1e3'])
    assert.throws(() => parseRateLimit(text), { code: 'USAGE' }, text)
})

test('a shown limit reads back as the same', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 50 }), limit => {
      assert.equal(parseRateLimit(formatRateLimit(limit)), limit)
    }),
  )
})
