import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import { RateLimiter } from './rate-limiter.ts'
import { TaskLimiter } from './task-limiter.ts'

const HOST = 1_000_000
const STRIDE_MAX = 256 * 1024
const DURATION_MS = 30_000

/** Takers that ask again as soon as they are served, for half a minute of the clock; returns what each task has got. */
async function run(
  clock: FakeClock,
  tasks: readonly { limiter: TaskLimiter; connections: number }[],
): Promise<number[]> {
  const taken = tasks.map(() => 0)
  const endMs = clock.now() + DURATION_MS
  const ends = tasks.flatMap(({ limiter, connections }, i) =>
    Array.from({ length: connections }, async () => {
      while (clock.now() < endMs) {
        const stride = limiter.sliceBytes(STRIDE_MAX)
        await limiter.take(stride)
        if (clock.now() <= endMs) taken[i] += stride
      }
    }),
  )
  while (clock.now() < endMs + 5_000) {
    clock.advance(5)
    for (let turn = 0; turn < 30; turn++) await null
  }
  await Promise.all(ends)
  return taken
}

const near = (bytes: number, rate: number) =>
  assert.ok(Math.abs(bytes / ((rate * DURATION_MS) / 1_000) - 1) < 0.03, `${bytes} bytes at ${rate}`)

for (const count of [1, 2, 3, 5, 8]) {
  test(`${count} tasks with all the connections they like get the host's rate, each the same share`, async () => {
    const clock = new FakeClock()
    const host = new RateLimiter(HOST, clock)
    const tasks = Array.from({ length: count }, (_, i) => ({
      limiter: new TaskLimiter(host, null, clock),
      connections: i === 0 ? 8 : 1,
    }))
    for (const bytes of await run(clock, tasks)) near(bytes, HOST / count)
  })

  test(`${count} tasks with a limit each get that, below the host's`, async () => {
    const clock = new FakeClock()
    const host = new RateLimiter(HOST, clock)
    const tasks = Array.from({ length: count }, () => ({
      limiter: new TaskLimiter(host, HOST / 10, clock),
      connections: 4,
    }))
    for (const bytes of await run(clock, tasks)) near(bytes, HOST / 10)
  })
}

test('what a slower task leaves is the others’', async () => {
  const clock = new FakeClock()
  const host = new RateLimiter(HOST, clock)
  const tasks = [HOST / 10, null, null].map(rate => ({
    limiter: new TaskLimiter(host, rate, clock),
    connections: 3,
  }))
  const [slow, ...others] = await run(clock, tasks)
  near(slow, HOST / 10)
  for (const bytes of others) near(bytes, HOST * 0.45)
})

test('without any limit nothing is waited for, and all is counted', () => {
  const clock = new FakeClock()
  const limiter = new TaskLimiter(new RateLimiter(null, clock), null, clock)
  assert.equal(limiter.take(10 ** 9), undefined)
  assert.deepEqual([limiter.receivedBytes, limiter.heldMs, limiter.isLimited], [10 ** 9, 0, false])
  assert.equal(limiter.sliceBytes(12_345_678), 12_345_678)
})

test('the time counts in which somebody is held back, once for however many', async () => {
  const clock = new FakeClock()
  const limiter = new TaskLimiter(new RateLimiter(1_000, clock), null, clock)
  const waits = [limiter.take(1_000), limiter.take(1_000)]
  clock.advance(1_500)
  assert.equal(limiter.heldMs, 1_500)
  clock.advance(500)
  await Promise.all(waits)
  clock.advance(5_000)
  assert.equal(limiter.heldMs, 2_000)
})

test('slices fit the lower of the two limits', () => {
  const clock = new FakeClock()
  const limiter = new TaskLimiter(new RateLimiter(2 ** 30, clock), 2 ** 20, clock)
  assert.equal(limiter.sliceBytes(512 * 1024), Math.floor(2 ** 20 / 20))
})
