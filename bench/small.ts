import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { askPeer } from '../src/cli/peer-process.ts'
import { prepareOutput, publish } from '../src/cli/publish.ts'
import { parseSize } from '../src/core/size.ts'
import { openHome } from '../src/peer/home.ts'
import { runLogFile } from '../src/peer/run-log.ts'
import { parseRecords } from '../src/peer/run-record.ts'
import type { LocalEvent } from '../src/wire/local.ts'
import { stopResident } from '../test/support/cli-run.ts'
import { quantile } from './figures.ts'
import { cpuOf, DFGET, need, peerPid, startNginx, startSupernode, timed } from './loopback.ts'

/**
 * Many small files, on loopback and in one run: (a) each through a running peer, as a command asks for it and puts it in place, beside one
 * curl that fetches them over one connection; (b) `dfget` from the start of its process to the end, beside `curl -o`, in turn. No file was
 * seen before, so each goes from nginx through the supernode to the peer, is verified, and is synced to disk, which curl's are not.
 *
 *     npm run bench:small -- [--files 1000] [--bytes 4KiB] [--commands 50]
 */

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '1000' },
    bytes: { type: 'string', default: '4KiB' },
    commands: { type: 'string', default: '50' },
  },
})
const files = Number(values.files)
const commands = Number(values.commands)
const lengthBytes = parseSize(values.bytes)

const WARM_UPS = 20
const TARGETS = { p50: 20, p99: 100, command: 200 } as const

need('nginx', 'curl')
const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-small-'))
const homeRoot = path.join(directory, 'home')
const stops: (() => void)[] = []
try {
  await main()
} finally {
  await stopResident(homeRoot)
  for (const stop of stops) stop()
  await rm(directory, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const nginx = await startNginx(directory)
  stops.push(nginx.stop)
  for (let i = 0; i < WARM_UPS + files + commands; i++)
    await writeFile(path.join(nginx.root, `${i}`), randomBytes(lengthBytes))
  const supernode = await startSupernode(path.join(directory, 'super'))
  stops.push(supernode.stop)
  const scene = { origin: `http://${nginx.address}`, node: supernode.address }
  for (let i = 0; i < WARM_UPS; i++) await runDfget(scene, i)
  const watched = {
    nginx: [nginx.pid],
    supernode: [supernode.pid],
    peer: await peerPid(homeRoot),
    asker: [process.pid],
  }
  const cpuNow = () => Promise.all(Object.values(watched).map(cpuOf))
  const before = await cpuNow()
  const through = await throughPeer(scene)
  const after = await cpuNow()
  const cpu = Object.keys(watched).map((who, i) => ({ who, seconds: after[i] - before[i] }))
  const spent = await timesOfPeer()
  const curl = await curlAll(scene.origin)

  const processes = { dfget: [] as number[], curl: [] as number[] }
  for (let i = WARM_UPS + files; i < WARM_UPS + files + commands; i++) {
    processes.curl.push(
      await millisecondsOf('curl', '-sS', '-o', path.join(directory, 'curl'), `${scene.origin}/${i}`),
    )
    processes.dfget.push(await runDfget(scene, i))
  }
  print({ through, curl, cpu, spent, processes })
}

type Scene = { readonly origin: string; readonly node: string }

/** Milliseconds per file. */
async function throughPeer({ origin, node }: Scene): Promise<number[]> {
  const home = await openHome(homeRoot)
  const took: number[] = []
  for (let i = WARM_UPS; i < WARM_UPS + files; i++) {
    const output = path.join(directory, 'out', `${i}`)
    const body = { url: `${origin}/${i}`, headers: [], name: `${i}`, tag: '', digest: null, nodes: [node] }
    const startedAt = performance.now()
    await prepareOutput(output)
    const answer = await askPeer(home, { method: 'POST', path: '/downloads', body })
    if (answer === null) throw new Error('the peer is gone')
    await publish(await pathIn(answer), output)
    answer.destroy()
    took.push(performance.now() - startedAt)
    await assertSame(i, output)
  }
  return took
}

/** Where the peer has the file, once it is complete. */
async function pathIn(answer: IncomingMessage): Promise<string> {
  for await (const line of createInterface({ input: answer })) {
    const event = JSON.parse(line) as LocalEvent
    if (event.event === 'complete') return event.result.path
    if (event.event === 'failed') throw new Error(event.message)
  }
  throw new Error('the peer broke off')
}

async function assertSame(i: number, output: string): Promise<void> {
  const [expected, got] = await Promise.all([readFile(path.join(directory, 'www', `${i}`)), readFile(output)])
  if (!expected.equals(got)) throw new Error(`file ${i} is not what nginx has`)
}

async function timesOfPeer(): Promise<string> {
  const records = parseRecords(await readFile(runLogFile(homeRoot), 'utf8')).slice(-files)
  const totals = new Map<string, number>()
  for (const { timeMs } of records)
    for (const [reason, ms] of Object.entries(timeMs)) totals.set(reason, (totals.get(reason) ?? 0) + ms)
  return [...totals].map(([reason, ms]) => `${reason} ${(ms / records.length).toFixed(1)} ms`).join(', ')
}

/** Milliseconds per file of one process, by curl's own account. */
async function curlAll(origin: string): Promise<number[]> {
  const plan = path.join(directory, 'curl.conf')
  const lines = [`write-out = "%{time_total}\\n"`, 'silent', 'create-dirs']
  for (let i = WARM_UPS; i < WARM_UPS + files; i++)
    lines.push(`url = "${origin}/${i}"`, `output = "${directory}/curled/${i}"`)
  await writeFile(plan, lines.join('\n'))
  const child = spawn('curl', ['-K', plan], { stdio: ['ignore', 'pipe', 'inherit'] })
  const said = Buffer.concat(await child.stdout.toArray()).toString()
  return said
    .trim()
    .split('\n')
    .map(seconds => Number(seconds) * 1000)
}

/** Milliseconds of a command from its start to its end. */
async function millisecondsOf(program: string, ...words: string[]): Promise<number> {
  return (await timed(program, words, [])).wall * 1000
}

function runDfget({ origin, node }: Scene, i: number): Promise<number> {
  const output = path.join(directory, 'dfget', `${i}`)
  const flags = ['-u', `${origin}/${i}`, '-o', output, '--home', homeRoot, '--node', node, '--config=']
  return millisecondsOf(process.execPath, DFGET, ...flags)
}

type Results = {
  readonly through: number[]
  readonly curl: number[]
  readonly cpu: readonly { readonly who: string; readonly seconds: number }[]
  /** Where the peer's own time went, mean per file. */
  readonly spent: string
  readonly processes: { readonly dfget: number[]; readonly curl: number[] }
}

function print({ through, curl, cpu, spent, processes }: Results): void {
  const ms = (value: number) => `${value.toFixed(1)} ms`.padStart(10)
  const verdict = (value: number, target: number) => `≤ ${target} ${value <= target ? 'met' : 'MISSED'}`
  const quantiles = (numbers: readonly number[]) => [quantile(numbers, 0.5), quantile(numbers, 0.99)] as const
  const [p50, p99] = quantiles(through)
  const [curl50, curl99] = quantiles(curl)
  const [dfget50, dfget99] = quantiles(processes.dfget)
  const [process50, process99] = quantiles(processes.curl)
  console.log(`${files} files of ${values.bytes}              p50        p99`)
  console.log(
    `through a running peer  ${ms(p50)} ${ms(p99)}   p50 ${verdict(p50, TARGETS.p50)}, p99 ${verdict(p99, TARGETS.p99)}`,
  )
  console.log(
    `one curl for all        ${ms(curl50)} ${ms(curl99)}   ratio of p50 ${(p50 / curl50).toFixed(1)}`,
  )
  const perFile = (seconds: number) => `${((seconds * 1000) / files).toFixed(1)} ms`
  const all = cpu.reduce((sum, { seconds }) => sum + seconds, 0)
  const parts = cpu.map(({ who, seconds }) => `${who} ${perFile(seconds)}`).join(', ')
  console.log(`CPU per file: ${perFile(all)} (${parts})`)
  console.log(`the peer's time, mean: ${spent}\n`)
  console.log(`${commands} commands, start to exit`)
  console.log(
    `dfget                   ${ms(dfget50)} ${ms(dfget99)}   p50 ${verdict(dfget50, TARGETS.command)}`,
  )
  console.log(
    `curl                    ${ms(process50)} ${ms(process99)}   ratio of p50 ${(dfget50 / process50).toFixed(1)}`,
  )
}
