import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drawPlan, scenarioOf } from './plan.ts'
import { shrink } from './shrink.ts'

test('a failing plan shrinks to what it takes to fail', () => {
  const plan = drawPlan(25)
  assert.ok(plan.faults.length > 1)
  const least = shrink(plan, ({ faults, scenario }) => {
    return faults.some(fault => fault.kind === plan.faults[1].kind) && (scenario.peers ?? 0) >= 3
  })
  assert.equal(least.faults.length, 1)
  assert.equal(least.faults[0].kind, plan.faults[1].kind)
  assert.equal(scenarioOf(least).peers, 3)
  assert.equal(scenarioOf(least).zones, 1)
})

test('a plan follows from its seed and survives being written down', () => {
  for (let seed = 1; seed < 50; seed++) {
    assert.deepEqual(drawPlan(seed), drawPlan(seed))
    assert.deepEqual(JSON.parse(JSON.stringify(drawPlan(seed))), drawPlan(seed))
  }
})
