import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ORIGIN_TIMEOUTS } from '../src/cli/defaults.ts'
import { formatRateLimit, parseRate } from '../src/core/rate.ts'
import { silentLog } from '../src/ops/log.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import { systemRandom } from '../src/ops/system-random.ts'
import { Peer } from '../src/peer/peer.ts'
import { ORIGIN_READERS } from '../src/supernode/origin-ranks.ts'
import { Supernode } from '../src/supernode/supernode.ts'
import type { DownloadRequest } from '../src/wire/local.ts'
import { need, startNginx } from './loopback.ts'

/**
 * What comes of a limit: a peer downloads 1 to 8 tasks at once, whose lengths together take so many seconds at the configured rate; the
 * ratio is the achieved rate to that. The time is from the question to the last piece, so that what the beginning costs counts. "total" is
 * the host's limit, "local" an eighth of it for each task; "spread" is how far the slowest task is behind the fastest, of tasks of one length.
 * The supernode has slots for all: how many pieces it should send at once is another question than how fast they come.
 *
 *     npm run bench:limits -- [--rate 20M] [--seconds 6]
 */

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '20M' },
    seconds: { type: 'string', default: '6' },
  },
})
const rate = parseRate(values.rate)
const seconds = Number(values.seconds)

const TASKS = [1, 2, 4, 8]
const OFF_TARGET = 0.05
const LOCAL_SHARE = 8
/** Slots are shared by all tasks, and one that a slow task has is not another's. Here they shall be no reason to wait. */
const SLOTS = 64
const LOOK_EVERY_MS = 5

type Way = 'supernode' | 'origin'
type Case = { readonly limit: 'total' | 'local'; readonly way: Way; readonly tasks: number }

need('nginx')
const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-limits-'))
const stops: (() => unknown)[] = []
try {
  await main()
} finally {
  for (const stop of stops.reverse()) await stop()
  await rm(directory, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const nginx = await startNginx(directory)
  stops.push(nginx.stop)
  const supernode = await Supernode.start({
    ...{ port: 0, downloadPort: 0, homeDir: path.join(directory, 'super'), listenIp: '127.0.0.1' },
    ...{ advertiseIp: null, uploadLimit: null, uploadSlots: SLOTS, originReaders: ORIGIN_READERS },
    ...{ originTimeouts: ORIGIN_TIMEOUTS, freshMs: 0, recordFile: null },
    ...{ clock: systemClock, random: systemRandom, log: silentLog },
  })
  stops.push(() => supernode.stop())
  const node = `127.0.0.1:${supernode.port}`
  const cases = (['total', 'local'] as const).flatMap(limit =>
    (['supernode', 'origin'] as const).flatMap(way => TASKS.map(tasks => ({ limit, way, tasks }))),
  )
  console.log(`${formatRateLimit(rate)}/s for ${seconds} s; the target is a ratio within ${OFF_TARGET} of 1`)
  console.log('limit  from       tasks  ratio   spread')
  let worst = 1
  for (const [i, one] of cases.entries()) {
    const urls: string[] = []
    const lengthBytes = Math.floor((rate * seconds) / (one.limit === 'total' ? one.tasks : LOCAL_SHARE))
    for (let task = 0; task < one.tasks; task++) {
      await writeFile(path.join(nginx.root, `${i}-${task}`), randomBytes(lengthBytes))
      urls.push(`http://${nginx.address}/${i}-${task}`)
    }
    const { ratio, spread } = await measure(one, urls, { node, lengthBytes })
    if (Math.abs(ratio - 1) > Math.abs(worst - 1)) worst = ratio
    const { limit, way, tasks } = one
    console.log(
      `${limit}  ${way.padEnd(9)}  ${String(tasks).padStart(5)}  ${ratio.toFixed(3)}   ${spread.toFixed(3)}`,
    )
    for (let task = 0; task < tasks; task++) await rm(path.join(nginx.root, `${i}-${task}`))
  }
  console.log(
    `worst ${worst.toFixed(3)}: ${Math.abs(worst - 1) <= OFF_TARGET ? 'within' : 'BEYOND'} the target`,
  )
}

type Measured = { readonly ratio: number; readonly spread: number }
type Scene = { readonly node: string; readonly lengthBytes: number }

async function measure(one: Case, urls: readonly string[], scene: Scene): Promise<Measured> {
  const { limit, way, tasks } = one
  // The supernode has it, so that its own reading of the origin is not measured.
  if (way === 'supernode')
    await withPeer(null, peer => Promise.all(urls.map(url => secondsOf(peer, url, scene))))
  const took = await withPeer(limit === 'total' ? rate : null, peer => {
    const nodes = way === 'supernode' ? [scene.node] : []
    const localLimit = limit === 'local' ? rate / LOCAL_SHARE : null
    return Promise.all(urls.map(url => secondsOf(peer, url, scene, { nodes, localLimit })))
  })
  const wanted = limit === 'total' ? rate / tasks : rate / LOCAL_SHARE
  const slowest = Math.max(...took)
  return { ratio: scene.lengthBytes / slowest / wanted, spread: 1 - Math.min(...took) / slowest }
}

async function withPeer<T>(totalLimit: number | null, use: (peer: Peer) => Promise<T>): Promise<T> {
  const homeRoot = await mkdtemp(path.join(directory, 'home-'))
  const peer = await Peer.start({
    ...{ homeRoot, ip: '127.0.0.1', port: 0, totalLimit, originTimeouts: ORIGIN_TIMEOUTS },
    ...{ clock: systemClock, random: systemRandom, log: silentLog },
  })
  try {
    return await use(peer)
  } finally {
    await peer.stop()
    await rm(homeRoot, { recursive: true })
  }
}

/** Seconds until the last piece is there. The disk is synced after that, which no limit is about. */
async function secondsOf(
  peer: Peer,
  url: string,
  { node, lengthBytes }: Scene,
  changes: Partial<DownloadRequest> = {},
): Promise<number> {
  const startedAt = performance.now()
  const request = { url, headers: [], name: 'file', tag: '', digest: null, nodes: [node], ...changes }
  const { run, release } = await peer.download(request)
  while (run.snapshot().heldBytes < lengthBytes && !run.isOver) await delay(LOOK_EVERY_MS)
  const seconds = (performance.now() - startedAt) / 1000
  await run.done
  release()
  return seconds
}
