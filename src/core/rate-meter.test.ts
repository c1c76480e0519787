import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { RateMeter } from './rate-meter.ts'

/** Adds `bytes` every 10 ms in `from ≤ now < to`. */
function flow(meter: RateMeter, bytes: number, from: number, to: number): void {
  for (let now = from; now < to; now += 10) meter.add(bytes, now)
}

const near = (actual: number, expected: number) => {
  assert.ok(Math.abs(actual / expected - 1) < 0.11, `${actual} is near ${expected}`)
}

test('a steady flow is measured as its rate, from the first second on', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000_000 }), fc.integer({ min: 20, max: 500 }), (bytes, tens) => {
      const meter = new RateMeter(5000)
      flow(meter, bytes, 5000, 5000 + tens * 10)
      near(meter.rate(5000 + tens * 10), bytes * 100)
      near(meter.best(5000 + tens * 10), bytes * 100)
    }),
  )
})

test('the rate is that of the last second; the best second is remembered', () => {
  const meter = new RateMeter(0)
  flow(meter, 1000, 0, 3000)
  flow(meter, 10, 3000, 6000)
  near(meter.rate(6000), 1000)
  near(meter.best(6000), 100_000)
})

test('after a second of silence the rate is zero, however long the silence', () => {
  for (const silenceMs of [1100, 5000, 86_400_000]) {
    const meter = new RateMeter(0)
    flow(meter, 1000, 0, 2000)
    assert.equal(meter.rate(2000 + silenceMs), 0)
    near(meter.best(2000 + silenceMs), 100_000)
  }
})

test('less than a second is measured over the time that there was', () => {
  const meter = new RateMeter(0)
  flow(meter, 1000, 0, 500)
  near(meter.best(500), 100_000)
})

test('nothing received is a rate of zero', () => {
  const meter = new RateMeter(0)
  assert.equal(meter.rate(0), 0)
  assert.equal(meter.best(0), 0)
})
