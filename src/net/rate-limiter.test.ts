import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import { RateLimiter } from './rate-limiter.ts'

/** 1000 bytes per second, one byte per millisecond. Nothing is saved yet. */
function limiterAt1000(): { clock: FakeClock; limiter: RateLimiter } {
  const clock = new FakeClock()
  return { clock, limiter: new RateLimiter(1000, clock) }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await null
}

test('within the burst nothing is waited for, and no promise is made', () => {
  const { clock, limiter } = limiterAt1000()
  clock.advance(1_000)
  assert.equal(limiter.take(100), undefined)
  assert.ok(limiter.take(1) instanceof Promise)
})

test('takers are served in their order, at the rate', async () => {
  const { clock, limiter } = limiterAt1000()
  const served: string[] = []
  for (const name of ['a', 'b', 'c'])
    void limiter.take(100)?.then(() => served.push(`${name}@${clock.now()}`))
  for (let step = 0; step < 400; step++) {
    clock.advance(1)
    await settle()
  }
  assert.deepEqual(served, ['a@100', 'b@200', 'c@300'])
  assert.equal(clock.timerCount, 0)
})

test('a small taker waits for its turn only, not for the large ones behind it', async () => {
  const { clock, limiter } = limiterAt1000()
  let isServed = false
  void limiter.take(10)?.then(() => {
    isServed = true
  })
  void limiter.take(100_000)
  clock.advance(9)
  await settle()
  assert.equal(isServed, false)
  clock.advance(1)
  await settle()
  assert.equal(isServed, true)
})

test('the long-run rate is exact, even where timers are late', async () => {
  const { clock, limiter } = limiterAt1000()
  let takenBytes = 0
  const taker = async () => {
    while (clock.now() < 60_000) {
      await limiter.take(7)
      takenBytes += 7
    }
  }
  const takers = [taker(), taker(), taker()]
  while (clock.now() < 60_000) {
    clock.advance(10)
    await settle()
    await settle()
  }
  clock.advance(1000)
  await Promise.all(takers)
  assert.ok(Math.abs(takenBytes - 60_000) < 600, `${takenBytes} bytes in 60 s`)
})

test('an aborted waiter leaves the line without costing the others its bytes', async () => {
  const { clock, limiter } = limiterAt1000()
  const abort = new AbortController()
  const first = limiter.take(100)
  const second = limiter.take(50_000, abort.signal)
  const third = limiter.take(100)
  abort.abort(new Error('no more'))
  await assert.rejects(second!, /no more/)
  clock.advance(100)
  await first
  clock.advance(100)
  await third
  assert.equal(clock.now(), 200)
})

test('the one in front may be aborted; its bytes stay taken', async () => {
  const { clock, limiter } = limiterAt1000()
  const abort = new AbortController()
  const first = limiter.take(100, abort.signal)
  const second = limiter.take(100)
  abort.abort(new Error('no more'))
  await assert.rejects(first!, /no more/)
  clock.advance(100)
  clock.advance(100)
  await second
  assert.throws(() => limiter.take(1, abort.signal), /no more/)
})

test('a new rate applies at once to those who wait', async () => {
  const { clock, limiter } = limiterAt1000()
  const taker = limiter.take(1_000_000)
  let isServed = false
  void taker?.then(() => {
    isServed = true
  })
  clock.advance(1000)
  limiter.rateBytesPerSecond = 1_000_000
  assert.equal(limiter.rateBytesPerSecond, 1_000_000)
  // 999 000 bytes are owed.
  clock.advance(998)
  await settle()
  assert.equal(isServed, false)
  clock.advance(1)
  await settle()
  assert.equal(isServed, true)
  assert.equal(clock.timerCount, 0)
})

test('a limit that is taken away lets all go, and one that comes hands out nothing', async () => {
  const { clock, limiter } = limiterAt1000()
  const waits = [limiter.take(5_000), limiter.take(5_000)]
  limiter.rateBytesPerSecond = null
  await Promise.all(waits)
  assert.equal(limiter.take(10 ** 9), undefined)
  assert.equal(clock.timerCount, 0)
  limiter.rateBytesPerSecond = 1_000
  let isServed = false
  void limiter.take(100)?.then(() => {
    isServed = true
  })
  clock.advance(99)
  await settle()
  assert.equal(isServed, false)
  clock.advance(1)
  await settle()
  assert.equal(isServed, true)
})

test('no change of the limit is worth a burst', async () => {
  const { clock, limiter } = limiterAt1000()
  let takenBytes = 0
  const taker = async () => {
    while (clock.now() < 10_000) {
      await limiter.take(7)
      takenBytes += 7
    }
  }
  const takers = [taker(), taker()]
  while (clock.now() < 11_000) {
    clock.advance(10)
    limiter.rateBytesPerSecond = 999
    limiter.rateBytesPerSecond = 1_000
    await settle()
    await settle()
  }
  await Promise.all(takers)
  assert.ok(Math.abs(takenBytes - 10_000) < 100, `${takenBytes} bytes in 10 s`)
})

for (const [what, change] of [
  ['a timer that is late by less than a second', () => {}],
  ['the same rate again, even where the timer is late,', setSameRate],
] as const) {
  test(`${what} costs those who wait nothing`, async () => {
    const clock = new FakeClock()
    let lateMs = 0
    const schedule = clock.schedule.bind(clock)
    const limiter = new RateLimiter(1_000, { now: () => clock.now() + lateMs, wallNow: () => 0, schedule })
    let served = 0
    for (let i = 0; i < 20; i++) void limiter.take(50)?.then(() => served++)
    lateMs = 900
    change(limiter)
    clock.advance(50)
    await settle()
    assert.equal(served, 19)
  })
}

function setSameRate(limiter: RateLimiter): void {
  limiter.rateBytesPerSecond = 1_000
}

test('slices are small where the rate is low', () => {
  const clock = new FakeClock()
  const maxBytes = 512 * 1024
  assert.equal(new RateLimiter(1000, clock).sliceBytes(maxBytes), 16 * 1024)
  assert.equal(new RateLimiter(2 ** 20, clock).sliceBytes(maxBytes), Math.floor(2 ** 20 / 20))
  assert.equal(new RateLimiter(2 ** 30, clock).sliceBytes(maxBytes), maxBytes)
})
