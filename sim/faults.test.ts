import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../src/core/random.ts'
import { drawFaults, FAULT_KINDS, inject } from './faults.ts'
import { DEFAULT_SCENARIO, type Scenario } from './scenario.ts'
import { World } from './world.ts'

const SCENARIO: Scenario = { ...DEFAULT_SCENARIO, peers: 4, lengthBytes: 16 * 1024 ** 2, supernodes: 2 }

describe('faults', () => {
  test('follow from the seed, are over when the world heals, and are of every kind in the end', () => {
    const seen = new Set<string>()
    for (let seed = 0; seed < 200; seed++) {
      const faults = drawFaults(seededRandom(seed), SCENARIO, 30)
      assert.deepEqual(drawFaults(seededRandom(seed), SCENARIO, 30), faults)
      assert.deepEqual(JSON.parse(JSON.stringify(faults)), faults)
      for (const fault of faults) {
        seen.add(fault.kind)
        const seconds = 'seconds' in fault ? (fault.seconds ?? 0) : 0
        assert.ok(fault.at >= 0 && fault.at + seconds <= 30.001, JSON.stringify(fault))
      }
    }
    assert.deepEqual([...seen].sort(), [...FAULT_KINDS].sort())
  })

  test('happen in their time, end, and pass over who is not there', () => {
    const world = new World(SCENARIO)
    world.openUntil = Number.POSITIVE_INFINITY
    inject(world, [
      { kind: 'crash', at: 0.5, peer: 1, seconds: 1, isPowerLost: false },
      { kind: 'leave', at: 0.5, peer: 2 },
      { kind: 'crash', at: 0.5, peer: 99, seconds: 1, isPowerLost: false },
      { kind: 'supernode-crash', at: 0.5, supernode: 1, seconds: 1, keepsDisk: false, isSilent: true },
      { kind: 'partition', at: 0.5, from: 3, to: 4, seconds: 1 },
      { kind: 'corruption', at: 0.5, seconds: 1, rate: 0.5 },
      { kind: 'disk-broken', at: 0.5, peer: 3, seconds: 1 },
      { kind: 'clock-jump', at: 0.5, peer: 3, aheadSeconds: 100 },
      { kind: 'supernode-clock-jump', at: 0.5, supernode: 0, aheadSeconds: 10 },
    ])
    const look = () => [
      world.peers[0].isAlive,
      world.peers[1].isAlive,
      world.supernodes[1].isAlive,
      world.isCut('p3', 'p4'),
      world.isCut('p4', 'p3'),
      world.corruptionRate,
      world.peers[2].disk.isBroken,
      world.peers[2].clock.now() / 1000 - world.queue.now,
      world.supernodes[0].clock.now() / 1000 - world.queue.now,
    ]
    const seen: unknown[] = []
    for (const at of [0.4, 1, 2]) world.queue.at(at, () => seen.push(look()))
    while (seen.length < 3 && world.queue.step());
    assert.deepEqual(seen, [
      [true, true, true, false, false, 0, false, 0, 0],
      [false, false, false, true, false, 0.5, true, 100, 10],
      [true, false, true, false, false, 0, false, 100, 10],
    ])
  })
})
