import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Plan } from './plan.ts'
import { runPlan } from './trial.ts'
import { runSeed } from './verdict.ts'

const SEEDS = 60

describe('worlds with faults', () => {
  test(`hold, ${SEEDS} of them, and go the same way twice`, () => {
    for (let seed = 20_001; seed <= 20_000 + SEEDS; seed++) {
      const { rule, violations } = runSeed(seed)
      assert.equal(
        rule,
        null,
        `npm run sim:seed -- --seed ${seed}: ${JSON.stringify(violations.slice(0, 2))}`,
      )
    }
  })

  test('have different digests where anything at all differs', () => {
    const plan: Plan = { scenario: { peers: 4, lengthBytes: 8 * 1024 ** 2 }, faults: [], healAt: 5 }
    const others: Plan[] = [
      plan,
      { ...plan, scenario: { ...plan.scenario, seed: 2 } },
      { ...plan, scenario: { ...plan.scenario, latencySeconds: 0.0003 } },
      { ...plan, faults: [{ kind: 'reset-uploads', at: 4, peer: 2 }] },
      { ...plan, faults: [{ kind: 'reset-uploads', at: 4, peer: 3 }] },
    ]
    assert.equal(new Set(others.map(other => runPlan(other).digest)).size, others.length)
  })
})
