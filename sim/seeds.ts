import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { drawPlan, type Plan } from './plan.ts'
import { judge, runSeed, shrunk, type Verdict } from './verdict.ts'

/**
 * Runs trials: `seeds.ts smoke [--seeds N] [--from S]`, `seeds.ts soak --minutes M [--from S]`, `seeds.ts seed --seed N | --plan FILE`.
 * The exit status is 1 if one of them failed.
 */

const REGRESSIONS = join(import.meta.dirname, 'regressions')
const SMOKE_SEEDS = 400
const PROGRESS_SECONDS = 30

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string' },
    from: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    plan: { type: 'string' },
    'no-shrink': { type: 'boolean' },
    /** Stops at the first failure. */
    first: { type: 'boolean' },
  },
})

const FAILURES_MAX = values.first ? 1 : 5

/** Since the process began. */
function elapsedSeconds(): number {
  return performance.now() / 1000
}

/** Says what failed, how to see it again, and what the least is that fails so. @param name `seed N` or `plan FILE` */
function explain(name: string, plan: Plan, verdict: Verdict): void {
  console.log(`FAILED ${name}: ${verdict.rule}`)
  for (const { rule, at, detail } of verdict.violations.slice(0, 3)) {
    console.log(`  at ${at.toFixed(3)} s: ${rule}: ${detail}`)
  }
  console.log(`  again: npm run sim:seed -- --${name}`)
  if (values['no-shrink'] || verdict.rule === null) return
  console.log(
    '  shrunk; keep it as sim/regressions/NAME.json, replay it with npm run sim:seed -- --plan FILE:',
  )
  console.log(JSON.stringify(shrunk(plan, verdict.rule)))
}

/** Returns how many regressions there are, and how many of them have come back. */
function replayRegressions(): { count: number; failed: number } {
  const files = readdirSync(REGRESSIONS)
    .filter(file => file.endsWith('.json'))
    .sort()
  let failed = 0
  for (const file of files) {
    const plan = readPlan(join(REGRESSIONS, file))
    const verdict = judge(plan)
    if (verdict.rule === null) continue
    failed++
    explain(`plan sim/regressions/${file}`, plan, verdict)
  }
  return { count: files.length, failed }
}

function readPlan(file: string): Plan {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** Runs seeds as long as `isGoingOn`; returns the exit status. */
function runSeeds(from: number, isGoingOn: (count: number) => boolean): number {
  const old = replayRegressions()
  let [count, failed, events, reported] = [0, 0, 0, elapsedSeconds()]
  const codes = new Map<string, number>()
  for (; isGoingOn(count) && failed + old.failed < FAILURES_MAX; count++) {
    const verdict = runSeed(from + count)
    events += verdict.events
    for (const [code, times] of verdict.failures) codes.set(code, (codes.get(code) ?? 0) + times)
    if (verdict.rule !== null) {
      failed++
      explain(`seed ${from + count}`, drawPlan(from + count), verdict)
    }
    if (elapsedSeconds() - reported < PROGRESS_SECONDS) continue
    reported = elapsedSeconds()
    console.log(`… ${count + 1} seeds, ${failed} failed, ${Math.round(reported)} s`)
  }
  const rate = (count / elapsedSeconds()).toFixed(1)
  const said = [...codes].map(([code, times]) => `${code} ${times}`).join(', ')
  console.log(
    `${count} seeds from ${from}, each twice: ${failed} failed; ${old.count} regressions: ${old.failed} failed; ` +
      `${events} events; ${elapsedSeconds().toFixed(0)} s, ${rate} seeds/s; downloads that ended with a justified code: ${said || 'none'}`,
  )
  return failed + old.failed > 0 ? 1 : 0
}

function runOne(): number {
  const plan = values.plan ? readPlan(values.plan) : drawPlan(Number(values.seed ?? 1))
  const verdict = judge(plan)
  console.log(JSON.stringify(plan))
  console.log(
    `digest ${verdict.digest}, ${verdict.events} events, recovered in ${verdict.recoverySeconds.toFixed(1)} s`,
  )
  if (verdict.rule === null) return 0
  explain(values.plan ? `plan ${values.plan}` : `seed ${values.seed ?? 1}`, plan, verdict)
  return 1
}

function main(): number {
  const [mode = 'smoke'] = positionals
  if (mode === 'seed') return runOne()
  if (mode === 'soak') {
    const untilSeconds = Number(values.minutes ?? 5) * 60
    return runSeeds(Number(values.from ?? 100_000), () => elapsedSeconds() < untilSeconds)
  }
  const seeds = Number(values.seeds ?? SMOKE_SEEDS)
  return runSeeds(Number(values.from ?? 1), count => count < seeds)
}

process.exitCode = main()
