import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulate } from './result.ts'
import { scenarioWith } from './scenario.ts'

const MIB = 1024 ** 2
const MBIT = 1e6 / 8

test('where each piece takes seconds, the first ones are not slowed down by trying many consumers at once', () => {
  const links = { up: 10 * MBIT, down: 10 * MBIT }
  for (const seed of [1, 2, 3]) {
    const scenario = scenarioWith({ seed, peers: 60, lengthBytes: 256 * MIB, pieceLength: 4 * MIB, ...links })
    const { result } = simulate(scenario)
    assert.equal(result.finished, 60)
    assert.ok(result.factor !== null && result.factor < 1.2, `seed ${seed}: ${result.factor} times the bound`)
  }
})
