import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ORIGIN_READERS } from '../src/supernode/origin-ranks.ts'
import { simulate } from './result.ts'
import { scenarioWith } from './scenario.ts'
import type { World } from './world.ts'

const MIB = 1024 ** 2

test('a fleet that loses its supernode for good reads the origin with a few readers, and everybody finishes', () => {
  const scenario = scenarioWith({ peers: 127, lengthBytes: 64 * MIB, pieceLength: MIB, originRate: 100e6 })
  let world: World | null = null
  const { result } = simulate(scenario, null, made => {
    world = made
    made.queue.at(2, () => made.kill(made.supernodes[0].name, false))
  })
  assert.equal(result.finished, 127)
  const readers = [...world!.origin.sentBytes.values()].filter(bytes => bytes > 0)
  assert.ok(readers.length > 0 && readers.length <= ORIGIN_READERS, `${readers.length} have read the origin`)
  assert.ok(result.originFactor <= ORIGIN_READERS, `the origin was read ${result.originFactor} times`)
})
