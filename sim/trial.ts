import type { ErrorCode } from '../src/core/error.ts'
import { Checkers, type Violation } from './checkers.ts'
import { inject } from './faults.ts'
import { type Plan, scenarioOf } from './plan.ts'
import { World } from './world.ts'

/** One plan, run and looked at. */

export type Outcome = {
  readonly digest: string
  readonly violations: readonly Violation[]
  readonly events: number
  /** From a second after the last fault and the last arrival until the last download was done. */
  readonly recoverySeconds: number
  readonly failures: ReadonlyMap<ErrorCode, number>
}

const LOOK_SECONDS = 1
/** Per peer. */
const RETRIES = 4
const RETRY_SECONDS = 1
/** Then every leave has arrived. */
const PARTING_SECONDS = 60
/** A run with more of them goes in circles. */
const EVENTS_MAX = 5_000_000

/** Runs a plan. Whoever fails is started again as a user would, once nothing goes wrong any more. */
export function runPlan(plan: Plan): Outcome {
  const scenario = scenarioOf(plan)
  const world = new World(scenario)
  world.openUntil = Number.POSITIVE_INFINITY
  const checkers = new Checkers(world, plan)
  world.watch.onlooker = checkers
  inject(world, plan.faults)
  const stillAt = Math.max(plan.healAt, scenario.arrival === 'burst' ? 0 : scenario.arrivalSeconds) + 1
  const limitAt = stillAt + Checkers.boundSeconds(plan)
  const again = new Retries(world, plan.healAt)
  let events = 0
  let doneAt = stillAt
  const look = () => {
    checkers.look()
    again.look()
    nextLook = world.queue.after(LOOK_SECONDS, look)
  }
  let nextLook = world.queue.after(0, look)
  try {
    while (world.queue.step()) {
      events++
      const { now } = world.queue
      if (world.watch.pendingCount === 0 && now > stillAt && !again.isDue) break
      doneAt = now
      if (now > limitAt || events > EVENTS_MAX) break
    }
    nextLook.action = null
    if (world.watch.pendingCount > 0) checkers.onLate()
    else part(world, checkers)
  } catch (thrown) {
    const said = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    checkers.fail(`thrown: ${said.split('\n')[0]}`, said)
  }
  return {
    digest: world.watch.digest,
    violations: checkers.violations,
    events,
    recoverySeconds: Math.max(0, doneAt - stillAt),
    failures: world.watch.failures,
  }
}

/** Everybody leaves; nothing may be left of them. */
function part(world: World, checkers: Checkers): void {
  runFor(world, world.scenario.lossSeconds + 2)
  checkers.lookAtEnd()
  for (const peer of world.peers) peer.leave()
  runFor(world, PARTING_SECONDS)
  checkers.lookAfter()
}

function runFor(world: World, seconds: number): void {
  let isOver = false
  world.queue.after(seconds, () => (isOver = true))
  while (!isOver && world.queue.step());
}

/** Starts again what has failed, once nothing goes wrong any more. */
class Retries {
  readonly #world: World
  readonly #healAt: number
  readonly #counts = new Map<string, number>()
  /** Whether somebody waits to be started again. */
  isDue = false

  constructor(world: World, healAt: number) {
    this.#world = world
    this.#healAt = healAt
  }

  look(): void {
    const { peers, queue } = this.#world
    const failed = peers.filter(
      peer => peer.isAlive && peer.failure !== null && (this.#counts.get(peer.name) ?? 0) < RETRIES,
    )
    this.isDue = failed.length > 0
    if (queue.now < this.#healAt + RETRY_SECONDS) return
    for (const peer of failed) {
      this.#counts.set(peer.name, (this.#counts.get(peer.name) ?? 0) + 1)
      this.#world.kill(peer.name, false)
      peer.restart()
    }
    this.isDue = false
  }
}
