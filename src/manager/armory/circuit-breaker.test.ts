import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CircuitBreaker } from './circuit-breaker.ts'

test('after failures in a row nothing goes through for a while, then one', () => {
  const breaker = new CircuitBreaker(3, 1_000)
  for (const nowMs of [0, 1]) {
    assert.ok(breaker.tryEnter(nowMs))
    breaker.fail(nowMs)
  }
  assert.ok(breaker.isClosed)
  assert.ok(breaker.tryEnter(2))
  breaker.fail(2)
  assert.ok(!breaker.isClosed)
  // One that was on its way makes the rest no longer.
  breaker.fail(500)
  assert.ok(!breaker.tryEnter(1_001))
  assert.ok(breaker.tryEnter(1_002))
  assert.ok(!breaker.tryEnter(9_999))
  breaker.fail(10_000)
  assert.ok(!breaker.tryEnter(10_999))
  assert.ok(breaker.tryEnter(11_000))
  breaker.succeed()
  assert.ok(breaker.tryEnter(11_000))
  assert.ok(breaker.tryEnter(11_000))
})

test('a success starts the count of failures anew', () => {
  const breaker = new CircuitBreaker(2, 1_000)
  for (let round = 0; round < 5; round++) {
    breaker.fail(round)
    breaker.succeed()
  }
  assert.ok(breaker.isClosed)
})
