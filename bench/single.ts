import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { link, mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { parseSize } from '../src/core/size.ts'
import { DIGEST_AFTER_MS } from '../src/supernode/swarm-task.ts'
import { cpuOf, need, peerPid, type Server, startNginx, startSupernode, stopPeer } from './loopback.ts'

/**
 * One host, one file: `curl -o` from nginx against `dfget` (a) from a warm supernode, (b) cold, with the supernode filling from nginx at
 * the same time, (c) already held here. Everything on loopback and in one run; each dfget run stands next to a curl run of its own,
 * because the machine is seldom quiet, and the ratio of the two is what counts. dfget's time includes starting the resident peer in (a)
 * and (b), and in all of them what curl does not do: verifying every byte and syncing the file to disk.
 *
 *     npm run bench:single -- [--bytes 1GiB] [--rounds 5]
 */

type Run = { wall: number; cpu: number }
type Measured = { curl: Run; dfget: Run; peakMib: number }

const TARGETS = { a: 1.25, b: 1.6, c: 0.3 } as const
const TITLES = { a: 'warm supernode', b: 'cold', c: 'already held' } as const
const PEER_MEMORY_TARGET_MIB = 200
const DFGET = path.join(import.meta.dirname, '..', 'dist', 'dfget.js')
const SUPERNODE = path.join(import.meta.dirname, '..', 'dist', 'supernode.js')
/** A cold run writes the file twice: at the supernode and at the peer. Not all that was warmed is what the kernel takes first. */
const WARMED_FILES = 6
/** After a moment more the supernode has begun to hash the file that it has filled. */
const DIGEST_BEGUN_MS = DIGEST_AFTER_MS + 500
const REST_MS = 500

const { values } = parseArgs({
  options: { bytes: { type: 'string', default: '1GiB' }, rounds: { type: 'string', default: '5' } },
})
const lengthBytes = parseSize(values.bytes)
const rounds = Number(values.rounds)

need('nginx', 'curl', 'bash')
const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bench-'))
const stops: (() => void)[] = []
try {
  await main()
} finally {
  for (const stop of stops) stop()
  await rm(directory, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const root = path.join(directory, 'www')
  await mkdir(root)
  await writeFiles(root)
  const nginx = await startNginx(directory, root)
  stops.push(nginx.stop)
  const supernode = await startSupernode(SUPERNODE, path.join(directory, 'supernode'))
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
  const before = await cpuOf(plan.watched)
  const curl = await timed(`curl -sS -o '${output}' '${plan.url}'`)
  curl.cpu += (await cpuOf(plan.watched)) - before
  await rm(output)
  return { curl, ...(await download(plan)) }
}

async function download(plan: DownloadPlan): Promise<{ dfget: Run; peakMib: number }> {
  const home = path.join(directory, plan.home)
  const output = path.join(directory, 'dfget-output')
  const [before, peerBefore] = [await cpuOf(plan.watched), await cpuOf(await peerPid(home))]
  const command = `'${process.execPath}' '${DFGET}' -u '${plan.url}' -o '${output}' --home '${home}'`
  const dfget = await timed(`${command} --node ${plan.supernode.address} > /dev/null`)
  const peer = await peerPid(home)
  dfget.cpu += (await cpuOf(plan.watched)) - before + (await cpuOf(peer)) - peerBefore
  const peak = /VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${peer[0]}/status`, 'utf8'))
  await rm(output)
  return { dfget, peakMib: Number(peak?.[1]) / 1024 }
}

/**
 * Wall and CPU seconds of a shell command. Both sides begin alike: what earlier runs wrote has gone to the disk, and the memory that the
 * page cache will take was used a moment ago. (A virtual machine gives free memory back to its host, and taking it again costs more
 * than all the rest of a run.)
 */
async function timed(command: string): Promise<Run> {
  const scratch = path.join(directory, 'scratch')
  const blocks = Math.ceil((WARMED_FILES * lengthBytes) / 1024 ** 2)
  execFileSync('dd', ['if=/dev/zero', `of=${scratch}`, 'bs=1M', `count=${blocks}`], { stdio: 'ignore' })
  await rm(scratch)
  execFileSync('sync')
  const script = `TIMEFORMAT='%R %U %S'; time ${command}`
  const child = spawn('bash', ['-c', script], { stdio: ['ignore', 'inherit', 'pipe'] })
  let said = ''
  child.stderr.on('data', part => {
    said += part
  })
  const [status] = await once(child, 'close')
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${said}`)
  const [wall, user, system] = said.trim().split('\n').at(-1)!.split(' ').map(Number)
  return { wall, cpu: user + system }
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
  await writeRandomFile(file)
  for (let round = 1; round <= rounds; round++) {
    for (const kind of ['warm', 'cold']) await link(file, path.join(root, `${kind}-${round}`))
  }
}

async function writeRandomFile(file: string): Promise<void> {
  const handle = await open(file, 'w')
  const block = Buffer.allocUnsafe(1024 * 1024)
  for (let i = 0; i < block.length; i += 4) block.writeUInt32LE((Math.random() * 2 ** 32) >>> 0, i)
  for (let position = 0; position < lengthBytes; position += block.length) {
    block.writeUInt32LE(position / block.length, 0)
    await handle.write(block, 0, Math.min(block.length, lengthBytes - position), position)
  }
  await handle.close()
}

async function endPeer(home: string): Promise<void> {
  await stopPeer(path.join(directory, home))
  await rm(path.join(directory, home), { recursive: true, force: true })
}

function print(results: Record<keyof typeof TARGETS, Measured[]>): void {
  const median = (numbers: number[]) => numbers.toSorted((x, y) => x - y)[numbers.length >> 1]
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
