import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drawPlan, type Plan, scenarioOf } from './plan.ts'
import { shrink } from './shrink.ts'

test('a failing plan shrinks to what it takes to fail', () => {
  const plan: Plan = {
    scenario: { ...drawPlan(1).scenario, peers: 20, zones: 3 },
    faults: [
      { kind: 'origin-change', at: 1 },
      { kind: 'cut-channel', at: 2, peer: 3 },
      { kind: 'leave', at: 3, peer: 17 },
      { kind: 'corruption', at: 4, seconds: 1, rate: 0.1 },
    ],
    healAt: 9,
  }
  const least = shrink(plan, ({ faults }) => faults.some(({ kind }) => kind === 'cut-channel'))
  assert.deepEqual(least.faults, [plan.faults[1]])
  assert.equal(scenarioOf(least).peers, 3)
  assert.equal(scenarioOf(least).zones, 1)
})

test('a plan follows from its seed and survives being written down', () => {
  for (let seed = 1; seed < 50; seed++) {
    assert.deepEqual(drawPlan(seed), drawPlan(seed))
    assert.deepEqual(JSON.parse(JSON.stringify(drawPlan(seed))), drawPlan(seed))
  }
})
