import { link, mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { parseSize } from '../src/core/size.ts'
import { DIGEST_AFTER_MS } from '../src/supernode/swarm-task.ts'
import { stopResident } from '../test/support/cli-run.ts'
import { quantile } from './figures.ts'
import {
  cpuOf,
  DFGET,
  need,
  peerPid,
  type Run,
  type Server,
  settle,
  startNginx,
  startSupernode,
  timed,
  writeRandomFile,
} from './loopback.ts'

/**
 * One host, one file: `curl -o` from nginx against `dfget` (a) from a warm supernode, (b) cold, with the supernode filling from nginx at
 * the same time, (c) already held here. Everything on loopback and in one run; each dfget run stands next to a curl run of its own,
 * because the machine is seldom quiet, and the ratio of the two is what counts. dfget's time includes starting the resident peer in (a)
 * and (b), and in all of them what curl does not do: verifying every byte and syncing the file to disk.
 *
 *     npm run bench:single -- [--bytes 1GiB] [--rounds 5]
 */

type Measured = { curl: Run; dfget: Run; peakMib: number }

const TARGETS = { a: 1.25, b: 1.6, c: 0.3 } as const
const TITLES = { a: 'warm supernode', b: 'cold', c: 'already held' } as const
const PEER_MEMORY_TARGET_MIB = 200
/** After a moment more the supernode has begun to hash the file that it has filled. */
const DIGEST_BEGUN_MS = DIGEST_AFTER_MS + 500
const REST_MS = 500

const { values } = parseArgs({
  options: { bytes: { type: 'string', default: '1GiB' }, rounds: { type: 'string', default: '5' } },
})
const lengthBytes = parseSize(values.bytes)
const rounds = Number(values.rounds)

need('nginx', 'curl', 'dd')
const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bench-'))
const stops: (() => void)[] = []
try {
  await main()
} finally {
  for (const stop of stops) stop()
  await rm(directory, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const nginx = await startNginx(directory)
  stops.push(nginx.stop)
  await writeFiles(nginx.root)
  const supernode = await startSupernode(path.join(directory, 'supernode'))
  stops.push(supernode.stop)
  const results = { a: [] as Measured[], b: [] as Measured[], c: [] as Measured[] }
  for (let round = 1; round <= rounds; round++) {
    const warm = `http://${nginx.address}/warm-${round}`
    const cold = `http://${nginx.address}/cold-${round}`
    await download({ url: warm, home: 'warmer', supernode, watched: [] })
    await endPeer('warmer')
    const watched = [nginx.pid, supernode.pid]
    await atRest(watched)
    results.a.push(await pair({ url: warm, home: `home-a-${round}`, supernode, watched }))
    results.c.push(await pair({ url: warm, home: `home-a-${round}`, supernode, watched }))
    await endPeer(`home-a-${round}`)
    results.b.push(await pair({ url: cold, home: `home-b-${round}`, supernode, watched }))
    await endPeer(`home-b-${round}`)
  }
  print(results)
}

type DownloadPlan = {
  url: string
  home: string
  supernode: Server
  /** Servers whose CPU time belongs to the run. */
  watched: number[]
}

/** curl and dfget next to each other, each into a new file. */
async function pair(plan: DownloadPlan): Promise<Measured> {
  const output = path.join(directory, 'curl-output')
  await settle(directory, lengthBytes)
  const curl = await timed('curl', ['-sS', '-o', output, plan.url], plan.watched)
  await rm(output)
  return { curl, ...(await download(plan)) }
}

async function download(plan: DownloadPlan): Promise<{ dfget: Run; peakMib: number }> {
  const home = path.join(directory, plan.home)
  const output = path.join(directory, 'dfget-output')
  await settle(directory, lengthBytes)
  const peerBefore = await cpuOf(await peerPid(home))
  const flags = ['-u', plan.url, '-o', output, '--home', home, '--node', plan.supernode.address]
  const command = await timed(process.execPath, [DFGET, ...flags], plan.watched)
  const peer = await peerPid(home)
  const dfget = { ...command, cpu: command.cpu + (await cpuOf(peer)) - peerBefore }
  const peak = /VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${peer[0]}/status`, 'utf8'))
  await rm(output)
  return { dfget, peakMib: Number(peak?.[1]) / 1024 }
}

/** The supernode's digest of what it has just filled is part of no run. */
async function atRest(pids: number[]): Promise<void> {
  await delay(DIGEST_BEGUN_MS)
  for (let before = Number.NaN, now = await cpuOf(pids); now !== before; now = await cpuOf(pids)) {
    before = now
    await delay(REST_MS)
  }
}

/** One file under the names of all rounds: what is fetched under a new name was not seen before. */
async function writeFiles(root: string): Promise<void> {
  const file = path.join(root, 'file')
  await writeRandomFile(file, lengthBytes)
  for (let round = 1; round <= rounds; round++) {
    for (const kind of ['warm', 'cold']) await link(file, path.join(root, `${kind}-${round}`))
  }
}

async function endPeer(home: string): Promise<void> {
  await stopResident(path.join(directory, home))
  await rm(path.join(directory, home), { recursive: true, force: true })
}

function print(results: Record<keyof typeof TARGETS, Measured[]>): void {
  const median = (numbers: number[]) => quantile(numbers, 0.5)
  const column = (value: number) => value.toFixed(2).padStart(9)
  console.log(`${values.bytes}, median of ${rounds} rounds; seconds, CPU of all processes that take part\n`)
  console.log('                   curl wall  cpu    dfget wall  cpu   wall ratio  target    per round')
  for (const key of ['a', 'b', 'c'] as const) {
    const runs = results[key]
    const ratios = runs.map(({ curl, dfget }) => dfget.wall / curl.wall)
    const cells = [
      median(runs.map(run => run.curl.wall)),
      median(runs.map(run => run.curl.cpu)),
      median(runs.map(run => run.dfget.wall)),
      median(runs.map(run => run.dfget.cpu)),
      median(ratios),
    ]
    const verdict = median(ratios) <= TARGETS[key] ? 'met' : 'MISSED'
    const spread = ratios.map(ratio => ratio.toFixed(2)).join(' ')
    console.log(
      `(${key}) ${TITLES[key].padEnd(14)}${cells.map(column).join('')}   ≤ ${TARGETS[key]} ${verdict.padEnd(7)} ${spread}`,
    )
  }
  const peak = Math.max(...Object.values(results).flatMap(runs => runs.map(run => run.peakMib)))
  const verdict = peak <= PEER_MEMORY_TARGET_MIB ? 'met' : 'MISSED'
  console.log(
    `\npeak memory of the resident peer ${peak.toFixed(0)} MiB, ≤ ${PEER_MEMORY_TARGET_MIB} ${verdict}`,
  )
}
