import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { formatDuration, formatExactDuration, parseDuration } from './duration.ts'

test('durations read like Go’s', () => {
  const table: [text: string, ms: number][] = [
    ['0', 0],
    ['0s', 0],
    ['500ms', 500],
    ['5s', 5000],
    ['1.5s', 1500],
    ['3m0s', 180_000],
    ['1h', 3_600_000],
    ['1h30m5s250ms', 5_405_250],
    ['1h2m3.5s', 3_723_500],
    ['300ms', 300],
    ['250us', 0.25],
    ['250µs', 0.25],
    ['500000ns', 0.5],
    [' 5s ', 5000],
  ]
  for (const [text, ms] of table) assert.equal(parseDuration(text), ms, text)
})

test('what is not a duration is a usage error', () => {
  const table = [
    '',
    ' ',
    '5',
    '-5s',
    '+5s',
    '5 s',
    's',
    '5x',
    '5s,',
    '5sx',
    'x5s',
    '.5s',
    '1.s',
    '5S',
    '1e3s',
  ]
  for (const text of [...table, 'Infinity', `${'9'.repeat(400)}s`]) {
    assert.throws(() => parseDuration(text), { code: 'USAGE' }, text)
  }
})

test('the parts of a duration add up', () => {
  fc.assert(
    fc.property(fc.nat(99), fc.nat(59), fc.nat(59), fc.nat(999), (h, m, s, ms) => {
      assert.equal(parseDuration(`${h}h${m}m${s}s${ms}ms`), ((h * 60 + m) * 60 + s) * 1000 + ms)
    }),
  )
})

test('durations are shown with two units at most', () => {
  const table: [ms: number, text: string][] = [
    [0, '0.0s'],
    [1234, '1.2s'],
    [10_000, '10s'],
    [59_499, '59s'],
    [59_500, '1m0s'],
    [83_000, '1m23s'],
    [3_599_499, '59m59s'],
    [3_600_000, '1h0m'],
    [90_000_000, '25h0m'],
  ]
  for (const [ms, text] of table) assert.equal(formatDuration(ms), text)
})

test('an exact duration is written like Go’s, and reads back as the same', () => {
  const table: [ms: number, text: string][] = [
    [0, '0s'],
    [500, '500ms'],
    [1500, '1.5s'],
    [180_000, '3m0s'],
    [3_600_000, '1h0m0s'],
    [3_723_500, '1h2m3.5s'],
  ]
  for (const [ms, text] of table) assert.equal(formatExactDuration(ms), text)
  fc.assert(
    fc.property(fc.nat(1e12), ms => {
      assert.equal(Math.round(parseDuration(formatExactDuration(ms))), ms)
    }),
  )
})
