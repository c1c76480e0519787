import { parseArgs } from 'node:util'
import { POLICY_NAMES } from '../sim/policies.ts'
import { type SimResult, simulate } from '../sim/result.ts'
import { DEFAULT_SCENARIO, scenarioWith } from '../sim/scenario.ts'
import { columns, comparePolicies } from '../sim/summary.ts'
import { measureSchedule } from './schedule.ts'
import { CASES, type Case } from './sim-cases.ts'
import { runHuge } from './sim-huge.ts'

/**
 * The table of what the simulator must show: median and worst of some seeds for each case. Progress goes to standard error.
 *
 *     node bench/sim.ts [--only NAME,…] [--seeds 10] [--quick] [--huge] [--policy P]
 *
 * `--quick` takes smaller swarms and one seed. NAME may be the beginning of one; `schedule` and `policies` are cases too.
 */

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seeds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    huge: { type: 'boolean', default: false },
    policy: { type: 'string', default: DEFAULT_SCENARIO.policy },
  },
})
const isQuick = values.quick
const seeds = Number(values.seeds ?? (isQuick ? 1 : 10))
const wanted = values.only.split(',').filter(Boolean)
const table: string[][] = [['case', 'what', 'target', 'median', 'worst', '']]
let missed = 0

function isWanted(name: string): boolean {
  return wanted.length === 0 ? !values.huge : wanted.some(start => name.startsWith(start))
}

function add(row: {
  name: string
  what: string
  target: string
  median: string
  worst: string
  isMet: boolean
}): void {
  const { name, what, target, median, worst, isMet } = row
  if (!isMet) missed++
  table.push([name, what, target, median, worst, isMet ? 'met' : 'MISSED'])
}

/** Returns the median factor. */
function runCase({ name, title, scenario, quick, rows, prepare }: Case): number | null {
  process.stderr.write(`${name}: ${title}\n`)
  const results: SimResult[] = []
  for (let seed = 1; seed <= seeds; seed++) {
    const startedAt = performance.now()
    const changes = { ...scenario, ...(isQuick ? quick : {}), seed, policy: values.policy }
    const { result } = simulate(scenarioWith(changes), null, prepare)
    results.push(result)
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    process.stderr.write(
      `  seed ${seed}: last ${result.lastSeconds} s, bound ${result.boundSeconds} s (${result.bound}), factor ${result.factor}; ` +
        `${result.finished} finished, ${result.gone} gone, ${result.failed} failed; took ${seconds} s\n`,
    )
  }
  for (const { what, target, measure, isMet } of rows) {
    const measured = results.map(measure)
    const isHigherBetter = target.startsWith('≥')
    const known = measured.filter(value => value !== null).sort((a, b) => (isHigherBetter ? b - a : a - b))
    const hasFailed = known.length < measured.length
    const worst = known.at(-1)
    add({
      name,
      what,
      target,
      median: show(median(known)),
      worst: hasFailed ? 'some did not finish' : show(worst),
      isMet: !hasFailed && worst !== undefined && isMet(worst),
    })
  }
  return median(results.flatMap(({ factor }) => factor ?? []).sort((a, b) => a - b)) ?? null
}

/** Swarms of both sizes in turn, so that what else the machine does slows both down. */
function runSchedule(): void {
  process.stderr.write('schedule: 10 000 members × 1 000 pieces\n')
  const members = isQuick ? 2_000 : 10_000
  const costs = [0, 0.1, 0.5, 0.9].map(heldShare => {
    const ask = { pieces: 1_000, heldShare, events: 10_000 }
    const rounds = Array.from({ length: isQuick ? 1 : 5 }, () => {
      const small = measureSchedule({ ...ask, members: members / 10 }).microsPerAssignment
      const large = measureSchedule({ ...ask, members })
      return { ...large, growth: large.microsPerAssignment / small }
    })
    const middleOf = (of: (round: (typeof rounds)[number]) => number) =>
      median(rounds.map(of).sort((a, b) => a - b)) ?? Number.NaN
    return {
      micros: middleOf(round => round.microsPerAssignment),
      stateMiB: middleOf(round => round.stateMiB),
      growth: middleOf(round => round.growth),
    }
  })
  const row = (what: string, most: number, all: number[]) => {
    const sorted = all.sort((a, b) => a - b)
    add({
      name: `schedule-${members}`,
      what,
      target: `≤ ${most}`,
      median: show(median(sorted)),
      worst: show(sorted.at(-1)),
      isMet: sorted[sorted.length - 1] <= most,
    })
  }
  row(
    'µs per assignment',
    10,
    costs.map(({ micros }) => micros),
  )
  row(
    'state, MiB',
    100,
    costs.map(({ stateMiB }) => stateMiB),
  )
  row(
    'cost at N ÷ cost at N/10',
    2,
    costs.map(({ growth }) => growth),
  )
}

async function huge(): Promise<void> {
  const divisor = isQuick ? 25 : 1
  const { results, wallSeconds, peakGiB } = await runHuge(1, divisor)
  const worst = results.reduce((most, { factor }) => Math.max(most, factor ?? Number.POSITIVE_INFINITY), 0)
  const failed = results.reduce((sum, result) => sum + result.failed, 0)
  const name = `${100_000 / divisor} peers`
  const middle = median(results.flatMap(({ factor }) => factor ?? []).sort((a, b) => a - b))
  add({
    name,
    what: 'factor',
    target: '≤ 1.20',
    median: show(middle),
    worst: show(worst),
    isMet: worst <= 1.2 && failed === 0,
  })
  const minutes = wallSeconds / 60
  add({ name, what: 'minutes', target: '≤ 15', median: '', worst: minutes.toFixed(1), isMet: minutes <= 15 })
  add({
    name,
    what: 'peak memory, GiB',
    target: '≤ 12',
    median: '',
    worst: peakGiB.toFixed(1),
    isMet: peakGiB <= 12,
  })
}

function median(sorted: readonly number[]): number | undefined {
  return sorted[Math.max(0, Math.ceil(sorted.length / 2) - 1)]
}

function show(value: number | undefined): string {
  return value === undefined ? '–' : value.toFixed(3)
}

const experiments: number[] = []
for (const one of CASES.filter(({ name }) => isWanted(name))) {
  const middle = runCase(one)
  if (one.name.startsWith('2016-') && middle !== null) experiments.push(middle)
}
if (experiments.length > 1) {
  const spread = Math.max(...experiments) / Math.min(...experiments)
  add({
    name: '2016-all',
    what: 'largest ÷ smallest factor',
    target: '≤ 1.10',
    median: '',
    worst: show(spread),
    isMet: spread <= 1.1,
  })
}
if (isWanted('schedule')) runSchedule()
if (values.huge) await huge()
if (table.length > 1) console.log(columns(table))
if (isWanted('policies')) {
  const results = POLICY_NAMES.map(policy => {
    process.stderr.write(`policies: ${policy}\n`)
    return simulate(scenarioWith({ ...CASES.find(({ name }) => name === '255x64')!.scenario, policy })).result
  })
  console.log(`\n255 peers × 64 pieces, by policy:\n${comparePolicies(results)}`)
}
if (isQuick) console.log('These are smaller swarms than those of the cases.')
if (missed > 0) console.log(`${missed} missed`)
