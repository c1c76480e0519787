import { POLICIES, type PolicyPlan } from '../src/swarm/policies.ts'

/** Names that `--policy` takes. */
export const POLICY_NAMES: readonly string[] = Object.keys(POLICIES)

/** @throws RangeError for a name that is not one of them */
export function policyNamed(name: string): PolicyPlan {
  if (!Object.hasOwn(POLICIES, name)) throw new RangeError(`there is no policy "${name}"`)
  return POLICIES[name]
}
