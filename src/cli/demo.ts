import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fluidBoundSeconds } from '../core/bound.ts'
import { DragonflyError } from '../core/error.ts'
import { seededRandom } from '../core/random.ts'
import { formatSize } from '../core/size.ts'
import { systemClock } from '../ops/system-clock.ts'
import { openHome } from '../peer/home.ts'
import { Supernode } from '../supernode/supernode.ts'
import type { BytesBySource, PeerStatus } from '../wire/local.ts'
import { type DemoOrigin, startDemoOrigin } from './demo-origin.ts'
import { questionPeer } from './peer-question.ts'
import { progressLine, shares } from './progress.ts'
import { compileSupernodeOptions } from './supernode-options.ts'

/** The main job on one machine: a supernode and eight peers, each a process with its own home and its own loopback address. */

type DemoOptions = { readonly url?: string; readonly dfget: string }

const PEERS = 8
const RATE = 32 * 1024 * 1024
const SEED_RATE = 2 * RATE
const DRAW_MS = 200

type DemoPeer = {
  name: string
  ip: string
  home: string
  output: string
  line: string
  outcome: Outcome | null
}

type Outcome =
  | { ok: true; seconds: number; lengthBytes: number; digest: string; bytes: BytesBySource }
  | { ok: false; code: string; message: string; hint: string }

/** @throws DragonflyError where a peer failed */
export async function demo(options: DemoOptions, signal: AbortSignal): Promise<void> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-demo-'))
  const origin = options.url === undefined ? await startDemoOrigin() : null
  const supernode = await Supernode.start({
    ...compileSupernodeOptions({ port: 0, downloadPort: 0, homeDir: path.join(directory, 'supernode') }),
    listenIp: '127.0.0.1',
    uploadLimit: SEED_RATE,
    random: seededRandom(1),
  })
  const peers = Array.from({ length: PEERS }, (_, i): DemoPeer => {
    const name = `peer ${i + 1}`
    const home = path.join(directory, `home-${i + 1}`)
    return {
      name,
      ip: `127.0.0.${11 + i}`,
      home,
      output: path.join(home, 'target'),
      line: 'starts',
      outcome: null,
    }
  })
  try {
    const url = options.url ?? origin!.url
    console.log(`${PEERS} peers download ${url} at the same time.`)
    console.log(
      `Each sends and receives at most ${formatSize(RATE)}/s, the supernode sends at most ${formatSize(SEED_RATE)}/s.\n`,
    )
    const stopDrawing = drawProgress(peers)
    await Promise.all(peers.map(peer => runPeer(peer, { ...options, url, port: supernode.port, signal })))
    await stopDrawing()
    printTable(peers, origin, supernode)
  } finally {
    await Promise.all(peers.map(stopPeer))
    await supernode.stop()
    await origin?.close()
    await rm(directory, { recursive: true, force: true })
  }
  if (signal.aborted) throw new DragonflyError('CANCELLED', 'the demo was interrupted')
  const failed = peers.find(peer => !peer.outcome?.ok)
  if (failed?.outcome?.ok === false)
    throw new DragonflyError('DOWNLOAD_STALLED', `${failed.name}: ${failed.outcome.message}`)
}

async function runPeer(
  peer: DemoPeer,
  options: { dfget: string; url: string; port: number; signal: AbortSignal },
): Promise<void> {
  const { dfget, url, port, signal } = options
  const flags = [
    '-u',
    url,
    '-o',
    peer.output,
    '--home',
    peer.home,
    '--ip',
    peer.ip,
    '--totallimit',
    String(RATE),
  ]
  const child = spawn(
    process.execPath,
    [...process.execArgv, dfget, ...flags, '--node', `127.0.0.1:${port}`, '--json'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      signal,
    },
  )
  let said = ''
  child.stdout.on('data', part => {
    said += part
  })
  await new Promise<void>(resolve => {
    child.once('error', () => resolve())
    child.once('close', () => resolve())
  })
  peer.outcome = JSON.parse(
    said.trim().split('\n').at(-1) || '{"ok":false,"code":"CANCELLED","message":"interrupted","hint":""}',
  )
}

/** Draws the peers' lines over and over on a terminal, or some of them where it is none. */
function drawProgress(peers: readonly DemoPeer[]): () => Promise<void> {
  let isOver = false
  const isTerminal = process.stdout.isTTY === true
  const draw = () => {
    const lines = peers.map(peer => `${peer.name}  ${peer.line}`)
    if (isTerminal)
      process.stdout.write(
        lines.map(line => `\x1b[2K${line}\n`).join('') + (isOver ? '' : `\x1b[${peers.length}A`),
      )
  }
  const drawing = (async () => {
    let drawn = 0
    while (!isOver) {
      await Promise.all(peers.map(look))
      draw()
      if (!isTerminal && drawn++ % 10 === 0) console.log(`${peers[0].name}  ${peers[0].line}`)
      await new Promise<void>(resolve => systemClock.schedule(DRAW_MS, resolve))
    }
    await Promise.all(peers.map(look))
    draw()
  })()
  return () => {
    isOver = true
    return drawing
  }
}

async function look(peer: DemoPeer): Promise<void> {
  if (peer.outcome) {
    peer.line = peer.outcome.ok ? `100%  done in ${peer.outcome.seconds.toFixed(1)} s` : peer.outcome.message
    return
  }
  // A peer that ends while it answers is looked at again.
  const status = await ask<PeerStatus>(peer, { method: 'GET', path: '/status' })
  if (status?.tasks[0]) peer.line = progressLine(status.tasks[0])
}

function printTable(peers: readonly DemoPeer[], origin: DemoOrigin | null, supernode: Supernode): void {
  console.log('\npeer      seconds  bytes by source')
  for (const { name, outcome } of peers) {
    if (outcome?.ok)
      console.log(`${name.padEnd(9)} ${outcome.seconds.toFixed(2).padStart(7)}  ${shares(outcome.bytes)}`)
    else console.log(`${name.padEnd(9)}  failed  ${outcome?.code}: ${outcome?.message}`)
  }
  const done = peers.flatMap(({ outcome }) => (outcome?.ok ? [outcome] : []))
  if (done.length === 0) return
  const { lengthBytes } = done[0]
  const sum = (source: keyof BytesBySource) => done.reduce((total, { bytes }) => total + bytes[source], 0)
  const received = sum('peers') + sum('supernode') + sum('origin')
  const originBytes = origin ? origin.sentBytes : supernode.originBytes + sum('origin')
  const last = Math.max(...done.map(({ seconds }) => seconds))
  const bound = fluidBoundSeconds({
    lengthBytes,
    seedUpload: SEED_RATE,
    uploads: peers.map(() => RATE),
    downloads: peers.map(() => RATE),
  })
  const isIdentical = new Set(done.map(({ digest }) => digest)).size === 1
  console.log(`
bytes that peers received   ${formatSize(received)}, ${((sum('peers') / received) * 100).toFixed(1)} % of them from peers
origin bytes ÷ file size    ${(originBytes / lengthBytes).toFixed(3)}
last peer after             ${last.toFixed(2)} s; no schedule could take less than ${bound.toFixed(2)} s at these rates
factor over the bound       ${(last / bound).toFixed(2)}
content                     ${isIdentical ? 'identical everywhere' : 'DIFFERS'}, ${done[0].digest}`)
}

async function stopPeer(peer: DemoPeer): Promise<void> {
  await ask(peer, { method: 'POST', path: '/stop' })
}

/** Null where it does not answer. */
async function ask<T>(peer: DemoPeer, question: { method: string; path: string }): Promise<T | null> {
  return questionPeer<T>(await openHome(peer.home), question).catch(() => null)
}
