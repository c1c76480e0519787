import { drawPlan, type Plan } from './plan.ts'
import { shrink } from './shrink.ts'
import { type Outcome, runPlan } from './trial.ts'

/** Whether a plan holds: nothing was violated, and a second run went exactly the same way. */

export type Verdict = Outcome & {
  /** The first rule that was broken; null if none was. */
  readonly rule: string | null
}

const NOT_THE_SAME_TWICE = 'two runs of the same plan differ'

export function judge(plan: Plan): Verdict {
  const outcome = runPlan(plan)
  const rule = outcome.violations[0]?.rule ?? null
  if (rule === null && runPlan(plan).digest !== outcome.digest)
    return { ...outcome, rule: NOT_THE_SAME_TWICE }
  return { ...outcome, rule }
}

export function runSeed(seed: number): Verdict {
  return judge(drawPlan(seed))
}

/** A smaller plan that fails as this one does. */
export function shrunk(plan: Plan, rule: string): Plan {
  return shrink(plan, smaller => {
    if (rule === NOT_THE_SAME_TWICE) return judge(smaller).rule === rule
    return runPlan(smaller).violations.some(violation => violation.rule === rule)
  })
}
