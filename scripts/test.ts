import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

/** Runs the tests: `node scripts/test.ts [pattern …]`. The exit status is the runner's. */

const ROOT = join(import.meta.dirname, '..')
const NODE_MAJOR_MIN = 24
const ALL_TESTS = ['src/**/*.test.ts', 'sim/**/*.test.ts', 'test/**/*.test.ts']

function run(patterns: readonly string[]): number {
  const obstacles: string[] = []
  if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN) {
    obstacles.push(
      `The tests need Node.js ${NODE_MAJOR_MIN}; this is ${process.version}. Run them with npm test.`,
    )
  }
  if (globSync(patterns, { cwd: ROOT }).length === 0) obstacles.push(`No test matches ${patterns.join(' ')}.`)
  if (obstacles.length > 0) {
    console.error(obstacles.join('\n'))
    return 1
  }
  const options = ['--test', '--test-reporter=spec', `--test-concurrency=${availableParallelism()}`]
  const runner = spawnSync(process.execPath, [...options, ...patterns], {
    cwd: ROOT,
    stdio: 'inherit',
  })
  return runner.status ?? 1
}

const patterns = process.argv.slice(2)
process.exitCode = run(patterns.length > 0 ? patterns : ALL_TESTS)
