import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { TokenBucket } from './token-bucket.ts'

const RATE = 10_000_000

test('the long-run rate is exact to 1 % whatever the sizes of the takes', () => {
  const size = fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 4_000_000 }))
  fc.assert(
    fc.property(fc.array(size, { minLength: 1, maxLength: 50 }), sizes => {
      const bucket = new TokenBucket(RATE, 0)
      let now = 0
      let total = 0
      for (let i = 0; total < 100 * RATE * 0.2; i++) {
        const bytes = sizes[i % sizes.length]
        now += bucket.take(bytes, now)
        total += bytes
      }
      const rate = total / (now / 1000)
      assert.ok(Math.abs(rate / RATE - 1) < 0.01, `${rate} bytes per second`)
    }),
    { numRuns: 30 },
  )
})

test('waiting some milliseconds too long each time costs no rate', () => {
  const bucket = new TokenBucket(RATE, 0)
  let now = 0
  for (let i = 0; i < 10_000; i++) now = Math.ceil((now + bucket.take(65_536, now)) / 4) * 4
  const rate = (10_000 * 65_536) / (now / 1000)
  assert.ok(Math.abs(rate / RATE - 1) < 0.01, `${rate} bytes per second`)
})

test('a new one has nothing to give away', () => {
  const bucket = new TokenBucket(1_000_000, 0)
  assert.equal(bucket.take(500_000, 0), 500)
  assert.equal(bucket.take(0, 500), 0)
})

test('changing the rate again and again gives nothing away', () => {
  const bucket = new TokenBucket(1_000_000, 0)
  bucket.take(1_000_000, 0)
  for (let now = 1; now <= 100; now++) bucket.setRate(now % 2 === 0 ? 1_000_000 : 2_000_000, now)
  // Half of 100 ms at each of the rates.
  assert.equal(Math.round(bucket.take(0, 100)), 850)
})

test('what is owed is paid at the new rate, what was saved is at most the new burst', () => {
  const bucket = new TokenBucket(1_000_000, 0)
  bucket.take(500_000, 0)
  bucket.setRate(100_000, 100)
  assert.equal(bucket.take(0, 100), 4_000)
  const idle = new TokenBucket(1_000_000, 0)
  idle.setRate(10_000, 1_000)
  assert.equal(idle.take(2_000, 1_000), 100)
})

test('a short idle time is made good for entirely', () => {
  const bucket = new TokenBucket(1_000_000, 0)
  assert.equal(bucket.take(50_000, 30), 20)
})

test('idle time is worth one burst and no more', () => {
  const bucket = new TokenBucket(1_000_000, 0)
  assert.equal(bucket.take(100_000, 3_600_000), 0)
  assert.equal(bucket.take(1000, 3_600_000), 1)
})

test('a clock that steps back earns nothing when it comes forward again', () => {
  const bucket = new TokenBucket(1_000_000, 1000)
  assert.equal(bucket.take(10_000, 500), 10)
  assert.equal(bucket.take(0, 1000), 10)
})

test('a rate is positive', () => {
  for (const rate of [0, -1, Number.NaN]) assert.throws(() => new TokenBucket(rate, 0))
  assert.equal(new TokenBucket(5, 0).rateBytesPerSecond, 5)
})
