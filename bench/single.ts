import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { link, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { parseSize } from '../src/core/size.ts'

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
/** So long after a fill the supernode begins to hash the whole file, and a moment more. */
const DIGEST_BEGUN_MS = 3_500
const REST_MS = 500
const TICKS_PER_SECOND = 100

const { values } = parseArgs({
  options: { bytes: { type: 'string', default: '1GiB' }, rounds: { type: 'string', default: '5' } },
})
const lengthBytes = parseSize(values.bytes)
const rounds = Number(values.rounds)

for (const program of ['nginx', 'curl', 'bash']) need(program)
const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bench-'))
const processes: { kill(): void }[] = []
try {
  await main()
} finally {
  for (const child of processes) child.kill()
  await rm(directory, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const nginx = await startNginx()
  const supernode = await startSupernode()
  const results = { a: [] as Measured[], b: [] as Measured[], c: [] as Measured[] }
  for (let round = 1; round <= rounds; round++) {
    const warm = `${nginx.url}/warm-${round}`
    const cold = `${nginx.url}/cold-${round}`
    await download({ url: warm, home: 'warmer', supernode, watched: [] })
    await stopPeer('warmer')
    const watched = [nginx.pid, supernode.pid]
    await atRest(watched)
    results.a.push(await pair({ url: warm, home: `home-a-${round}`, supernode, watched }))
    results.c.push(await pair({ url: warm, home: `home-a-${round}`, supernode, watched }))
    await stopPeer(`home-a-${round}`)
    results.b.push(await pair({ url: cold, home: `home-b-${round}`, supernode, watched }))
    await stopPeer(`home-b-${round}`)
  }
  print(results)
}

type DownloadPlan = {
  url: string
  home: string
  supernode: { address: string; pid: number }
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

async function cpuOf(pids: number[]): Promise<number> {
  let ticks = 0
  for (const pid of pids) {
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / TICKS_PER_SECOND
}

async function startNginx(): Promise<{ url: string; pid: number }> {
  const root = path.join(directory, 'www')
  await mkdir(root)
  await writeRandomFile(path.join(root, 'file'))
  for (let round = 1; round <= rounds; round++) {
    for (const kind of ['warm', 'cold'])
      await link(path.join(root, 'file'), path.join(root, `${kind}-${round}`))
  }
  const port = 20_000 + (process.pid % 20_000)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${directory}/${name};`,
  )
  const config = path.join(directory, 'nginx.conf')
  await writeFile(
    config,
    `daemon off; master_process off; pid ${directory}/nginx.pid; error_log ${directory}/nginx.log; user root;
     events {} http { access_log off; sendfile on; ${temporary.join(' ')}
     server { listen 127.0.0.1:${port}; root ${root}; } }`,
  )
  const child = spawn('nginx', ['-c', config], { stdio: 'ignore', env: withSbin() })
  processes.push(child)
  const url = `http://127.0.0.1:${port}`
  while (
    !(await fetch(`${url}/file`, { method: 'HEAD' }).then(
      answer => answer.ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null) throw new Error('nginx did not start')
    await delay(20)
  }
  return { url, pid: child.pid! }
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

async function startSupernode(): Promise<{ address: string; pid: number }> {
  const flags = [
    '--port',
    '0',
    '--download-port',
    '0',
    '--listen-ip',
    '127.0.0.1',
    '--home-dir',
    path.join(directory, 'supernode'),
  ]
  const child = spawn(process.execPath, [SUPERNODE, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] })
  processes.push(child)
  const [line] = await once(child.stdout, 'data')
  const address = /control on (\S+),/.exec(String(line))?.[1]
  if (!address) throw new Error(`the supernode said ${line}`)
  return { address, pid: child.pid! }
}

/** The resident peer says its own process id; nothing where there is no peer. */
async function peerPid(home: string): Promise<number[]> {
  const answer = await askPeer(home, 'GET', '/status')
  return answer === null ? [] : [(JSON.parse(answer) as { pid: number }).pid]
}

async function stopPeer(home: string): Promise<void> {
  const [pid] = await peerPid(path.join(directory, home))
  await askPeer(path.join(directory, home), 'POST', '/stop')
  while (
    pid !== undefined &&
    (await readFile(`/proc/${pid}/stat`).then(
      () => true,
      () => false,
    ))
  )
    await delay(10)
  await rm(path.join(directory, home), { recursive: true, force: true })
}

function askPeer(home: string, method: string, route: string): Promise<string | null> {
  return new Promise(resolve => {
    const asked = request({ socketPath: path.join(home, 'meta', 'peer.sock'), method, path: route })
    asked.once('error', () => resolve(null))
    asked.once('response', async response => resolve(Buffer.concat(await response.toArray()).toString()))
    asked.end()
  })
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

function need(program: string): void {
  try {
    execFileSync('which', [program], { stdio: 'ignore', env: withSbin() })
  } catch {
    console.error(`This benchmark needs ${program}; on Debian: apt-get install nginx-light curl`)
    process.exit(1)
  }
}

function withSbin(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }
}
