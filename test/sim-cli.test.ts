import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Command } from 'commander'
import { drawPicture } from '../sim/picture.ts'
import { POLICY_NAMES, policyNamed } from '../sim/policies.ts'
import { busyRate } from '../sim/replay.ts'
import { type SimResult, simulate } from '../sim/result.ts'
import { DEFAULT_SCENARIO, type Scenario, scenarioWith } from '../sim/scenario.ts'
import { comparePolicies } from '../sim/summary.ts'
import { World } from '../sim/world.ts'
import { addSimFlags, compileScenario, type SimFlags } from '../src/cli/sim-flags.ts'
import { type CliResult, runCli } from './support/cli-run.ts'

/** `dragonfly sim` as people and scripts use it, and the figures behind it. */

const MIB = 1024 ** 2
const SMALL = ['--peers', '15', '--size', '8MiB']

let directory: string
before(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-sim-'))
})
after(() => rm(directory, { recursive: true }))

const sim = (...flags: string[]): Promise<CliResult> => runCli('dragonfly', ['sim', ...flags])

function simulated(changes: Partial<Scenario>): SimResult {
  return simulate(scenarioWith({ peers: 15, lengthBytes: 8 * MIB, ...changes })).result
}

describe('dragonfly sim', () => {
  it('--json is one line with the figures, the same for the same seed and flags', async () => {
    const svg = path.join(directory, 'picture.svg')
    const [first, again, other] = await Promise.all([
      sim(...SMALL, '--seed', '7', '--json'),
      sim(...SMALL, '--seed', '7', '--json', '--svg', svg),
      sim(...SMALL, '--seed', '8', '--json'),
    ])
    assert.equal(first.status, 0, first.stderr)
    assert.equal(again.stdout, first.stdout)
    assert.notEqual(other.stdout, first.stdout)
    const figures = first.json()
    const numbers = [
      'factor',
      'lastSeconds',
      'p50Seconds',
      'originFactor',
      'crossZoneFactor',
      'controlMessagesPerPiece',
    ]
    for (const name of [...numbers, 'boundSeconds', 'meanReadablePrefix']) {
      assert.equal(typeof figures[name], 'number', name)
    }
    const { policy, seed, bound, finished, failed, pieces } = figures
    assert.deepEqual(
      [policy, seed, bound, finished, failed, pieces],
      [DEFAULT_SCENARIO.policy, 7, 'pieces', 15, 0, 8],
    )
    const { peers, seed: fromSeed, origin } = figures.bytes as Record<string, number>
    assert.equal(peers + fromSeed + origin, 15 * 8 * MIB)
    assert.ok(Number(figures.factor) >= 1)
    checkSvg(await readFile(svg, 'utf8'))
  })

  it('tells people the bound that was used, the figures, and how it went', async () => {
    const { stdout, stderr, status } = await sim(...SMALL)
    assert.equal(status, 0, stderr)
    assert.match(stdout, /^bound +\d+\.\d+ s by pieces: \(k \+ ⌊log2 N⌋\) piece times: 8 \+ 3 pieces/m)
    assert.match(stdout, /^peers finished +15 of 15$/m)
    assert.match(stdout, /^100 % │.*█$/m)
    assert.doesNotMatch(stdout, /simulated in/)
    assert.match(stderr, /simulated in \d+\.\d s/)
  })

  it('a flag that is wrong is a usage error that names what would be right', async () => {
    const table: [flags: string[], says: RegExp][] = [
      [['--peer', '5'], /unknown option '--peer'[\s\S]*--peers/],
      [['--policy', `${POLICY_NAMES[0]}x`], new RegExp(`no policy ".*", did you mean "${POLICY_NAMES[0]}"`)],
      [['--up', '12 parsecs'], /"12 parsecs" is not a rate/],
      [['--peers', '0'], /"0" is not a number from 1 to/],
      [['--arrival', 'never'], /burst, poisson, wave/],
      [['--arrival-seconds', '5'], /goes with --arrival poisson or wave/],
      [['--slow-share', '2'], /"2" is not a share/],
      [['--size', '1TiB', '--piece-length', '1MiB'], /1048576 pieces are too many/],
      [['--zone-rate', '1Gbit'], /--zone-rate goes with --zones/],
    ]
    const ended = await Promise.all(table.map(([flags]) => sim(...flags)))
    table.forEach(([flags, says], i) => {
      assert.equal(ended[i].status, 1, flags.join(' '))
      assert.match(ended[i].stderr, says)
      assert.equal(ended[i].stdout, '')
    })
  })

  it('the help shows defaults that are what happens without the flags', () => {
    const parse = (flags: string[]) =>
      addSimFlags(new Command()).parse(flags, { from: 'user' }).opts<SimFlags>()
    const shown = addSimFlags(new Command()).options.flatMap(({ long, description }) => {
      const [, value] = /\(default: (\d.*)\)/.exec(description) ?? []
      return value === undefined || long === '--arrival-seconds' ? [] : [`${long}=${value}`]
    })
    assert.equal(shown.length, 8)
    assert.deepEqual(compileScenario(parse(shown)), compileScenario(parse([])))
  })

  it('the help tells what each policy does', async () => {
    const { stdout } = await sim('--help')
    for (const name of POLICY_NAMES) assert.ok(stdout.includes(policyNamed(name).about), name)
  })

  it('a picture that cannot be written is an error that says so', async () => {
    const ended = await sim(...SMALL, '--svg', path.join(directory, 'no', 'such', 'directory'))
    assert.equal(ended.status, 1)
    assert.match(ended.stderr, /OUTPUT_INVALID/)
  })

  it('several policies are compared, each on a line of its own', async () => {
    const ended = await sim(...SMALL, '--policy', 'all', '--json')
    assert.equal(ended.status, 0, ended.stderr)
    const { results = [ended.json()] } = ended.json() as { results?: Record<string, unknown>[] }
    assert.deepEqual(
      results.map(({ policy, finished }) => [policy, finished]),
      POLICY_NAMES.map(name => [name, 15]),
    )
    const result = simulated({})
    const compared = comparePolicies([result, { ...result, policy: 'another', factor: null }])
    assert.match(compared, new RegExp(`^${result.policy} .* 15/15 .*\\nanother .* – +15/15 `, 'm'))
  })
})

describe('what is simulated', () => {
  it('looking on changes nothing', () => {
    const scenario = scenarioWith({ peers: 15, lengthBytes: 8 * MIB })
    const world = new World(scenario)
    world.run()
    assert.equal(simulate(scenario).result.eventDigest, world.watch.digest)
  })

  it('the bound follows from the links', () => {
    const { up } = DEFAULT_SCENARIO
    const table: [changes: Partial<Scenario>, name: string, seconds: number][] = [
      [{}, 'pieces', (11 * MIB) / up],
      [{ supernodeUp: up / 4 }, 'seed upload', (32 * MIB) / up],
      [{ supernodeUp: 4 * up, slowShare: 0.2 }, 'slowest download', (80 * MIB) / up],
      [{ up: up / 4, supernodeUp: up }, 'total upload', (15 * 8 * MIB) / (up + (15 * up) / 4)],
      [{ zones: 3, zoneRate: up / 8 }, 'zone link', (64 * MIB) / up],
      [{ isWarm: false, originRate: up / 4 }, 'origin', (32 * MIB) / up],
      [{ arrival: 'wave', arrivalSeconds: 4 }, 'own links', (8 * MIB) / up],
    ]
    for (const [changes, name, seconds] of table) {
      const result = simulated(changes)
      assert.equal(result.bound, name, JSON.stringify(changes))
      assert.ok(Math.abs(result.boundSeconds - seconds) < 1e-3, `${result.boundSeconds} and ${seconds}`)
      assert.ok(result.finished === 15 && result.factor! >= 0.99, `${name} ${result.factor}`)
    }
  })

  it('an empty cache reads the origin once', () => {
    const result = simulated({ isWarm: false, originRate: 100e6 })
    assert.deepEqual([result.originFactor, result.bytes.origin], [1, 0])
  })

  it('with churn peers leave when they are complete, and the others finish', () => {
    const result = simulated({ arrival: 'poisson', arrivalSeconds: 10, leavesWhenComplete: true })
    assert.deepEqual([result.finished, result.gone, result.failed], [15, 0, 0])
  })

  it('a supernode sends as fast as a peer, unless it is given', () => {
    const { up } = DEFAULT_SCENARIO
    assert.equal(scenarioWith({ up: 2 * up }).supernodeUp, 2 * up)
    assert.equal(scenarioWith({ up: 2 * up, supernodeUp: up }).supernodeUp, up)
  })

  it('a seed finds out how many peers it can serve at once', () => {
    const scenario = { peers: 63, lengthBytes: 64 * MIB, supernodeUp: 40e6 }
    const factorOf = (changes: Partial<Scenario>) => simulated({ ...scenario, ...changes }).factor!
    for (const seed of [1, 2, 3]) {
      const found = factorOf({ seed })
      assert.ok(found < factorOf({ seed, seedSlots: 1 }))
      assert.ok(found < factorOf({ seed, seedSlots: 32 }))
    }
  })

  it('the picture is well-formed, whatever came of it', () => {
    const { result, samples } = simulate(scenarioWith({ peers: 15, lengthBytes: 8 * MIB }))
    checkSvg(drawPicture(samples, result))
    checkSvg(drawPicture(samples, { ...result, policy: '<&>', factor: null, finished: 0, lastSeconds: null }))
  })

  it("a host's rate is what it did when it did most", () => {
    const transfer = (from: number, to: number) => ({ consumer: 1, source: 2, from, to })
    assert.equal(busyRate([transfer(0, 1_000)], 500), 1_000)
    assert.equal(busyRate([transfer(0, 1_000), transfer(5_000, 6_000)], 5_000), 5_000)
    assert.equal(busyRate([transfer(0, 1_000), transfer(0, 1_000)], 5_000), 10_000)
    assert.equal(busyRate([], 5_000), 1_000)
  })
})

/** Every tag is closed, nothing is fetched from elsewhere, and no coordinate is missing. */
function checkSvg(svg: string): void {
  const open: string[] = []
  for (const [, slash, name, , selfClosing] of svg.matchAll(
    /<(\/?)([a-z]+)((?:\s[\w-]+="[^"<]*")*)\s*(\/?)>/g,
  )) {
    if (slash) assert.equal(open.pop(), name)
    else if (!selfClosing) open.push(name)
  }
  assert.deepEqual(open, [])
  assert.equal(svg.match(/</g)!.length, [...svg.matchAll(/<\/?[a-z]+(?:\s[\w-]+="[^"<]*")*\s*\/?>/g)].length)
  assert.doesNotMatch(svg, /NaN|Infinity|undefined|href|url\(/)
  for (const title of ['Peers that are complete', 'Bytes by source', 'Progress of all'])
    assert.ok(svg.includes(title))
}
