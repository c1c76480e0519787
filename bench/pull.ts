import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import http, { type IncomingMessage } from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { parseSize } from '../src/core/size.ts'
import { stopResident } from '../test/support/cli-run.ts'
import { type Registry, startRegistry } from '../test/support/registry.ts'
import { type Image, makeImage, makeLayer } from '../test/support/registry-images.ts'
import type { RuntimeClient, RuntimePlace } from '../test/support/runtime-client.ts'
import { startContainerd } from '../test/support/runtime-containerd.ts'
import { startDockerd } from '../test/support/runtime-dockerd.ts'
import { type Host, type Hosts, openHosts } from '../test/support/runtime-hosts.ts'
import { podmanClient } from '../test/support/runtime-podman.ts'
import { skopeoClient } from '../test/support/runtime-skopeo.ts'
import { sha256OfFile } from '../test/support/system.ts'
import { quantile } from './figures.ts'
import { startLeastMirror } from './least-mirror.ts'
import { settle, stolenSeconds } from './loopback.ts'

/**
 * Pulls of one image by container runtimes from a registry, everything on loopback and in one run: directly, and through a dfdaemon whose
 * peer has nothing while the supernode has everything. The two take turns, with the same client and the same configuration but for who is
 * the mirror, because the machine is seldom quiet; the ratio is what counts. With them, in the same rounds, through the least code that
 * could stand in dfdaemon's and its peer's place. Each round begins with another of the three, on a host of its own, whose processes have
 * been through the download of another layer; `--fresh` spares them that. Then: how long the first byte of a layer takes through dfdaemon
 * at a host that does not have it.
 *
 *     npm run bench:pull -- [--bytes 500MiB] [--rounds 5] [--clients skopeo,containerd] [--fresh]
 */

const PULL_TARGET = 1.15
const FIRST_BYTE_TARGET_MS = 50
const SMALL_LAYERS = 20
const SMALL_LAYER_BYTES = 4 * 1024 ** 2

const CLIENTS: Readonly<Record<string, (place: RuntimePlace) => Promise<RuntimeClient>>> = {
  skopeo: skopeoClient,
  podman: podmanClient,
  containerd: startContainerd,
  dockerd: startDockerd,
}

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: '500MiB' },
    rounds: { type: 'string', default: '5' },
    clients: { type: 'string', default: 'skopeo,containerd' },
    fresh: { type: 'boolean', default: false },
  },
})
const lengthBytes = parseSize(values.bytes)
const rounds = Number(values.rounds)

const KINDS = ['direct', 'through', 'atLeast'] as const

type Pull = {
  readonly seconds: number
  /** CPU seconds that the machine's host had for others meanwhile. */
  readonly stolen: number
}
type Run = Readonly<Record<(typeof KINDS)[number], Pull>>

const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bench-'))
const registry = await startRegistry(path.join(directory, 'registry'))
const hosts = await openHosts(registry.ownAddress)
try {
  await main(registry, hosts)
} finally {
  await hosts.stop()
  await registry.stop()
  await rm(directory, { recursive: true, force: true, maxRetries: 5 })
}

async function main({ push, ownAddress }: Registry, { start }: Hosts): Promise<void> {
  const big = makeImage([makeLayer('big', lengthBytes)])
  const earlier = makeImage([makeLayer('earlier', lengthBytes)])
  const small = makeImage(
    Array.from({ length: SMALL_LAYERS }, (_, number) => makeLayer(`small-${number}`, SMALL_LAYER_BYTES)),
  )
  await push('bench/big', '1', big)
  await push('bench/earlier', '1', earlier)
  await push('bench/small', '1', small)
  const warmer = await start()
  for (const image of ['big', 'earlier', 'small']) await timedPull('skopeo', { image, mirror: warmer.mirror })
  await end(warmer)
  const [{ digest, bytes }] = big.own.layers
  const [source, target] = [path.join(directory, 'layer'), path.join(directory, 'kept')]
  await saveLayer(`http://${ownAddress}/v2/bench/big/blobs/${digest}`, source)
  const least = await startLeastMirror(ownAddress, { digest, lengthBytes: bytes.length, source, target })

  try {
    const onWhich = values.fresh ? 'hosts that have just been started' : 'hosts that have had another layer'
    console.log(
      `one layer of ${values.bytes}, ${onWhich}, median of ${rounds} rounds; seconds, and ratios to direct\n`,
    )
    console.log('                direct   dfdaemon  ratio   target         least  ratios per round')
    for (const client of values.clients.split(',')) {
      const runs: Run[] = []
      for (let round = 0; round < rounds; round++) runs.push(await runOf(client, round))
      printPulls(client, runs)
    }
  } finally {
    least.stop()
  }
  await printFirstBytes(await start(), small)

  /** All kinds of pull once, with a host of their own. */
  async function runOf(client: string, round: number): Promise<Run> {
    const host = await start()
    const [layer] = earlier.own.layers
    await firstByteMs(host, 'earlier', values.fresh ? earlier.own.config.digest : layer.digest)
    const servedBefore = await fromSwarm(host)
    const mirrors = { direct: ownAddress, through: host.mirror, atLeast: least.address }
    const run: Partial<Record<(typeof KINDS)[number], Pull>> = {}
    for (const turn of [0, 1, 2]) {
      const kind = KINDS[(round + turn) % KINDS.length]
      run[kind] = await timedPull(client, { image: 'big', mirror: mirrors[kind] })
    }
    // Most clients go to the registry without a word where a mirror fails.
    assert((await fromSwarm(host)) >= servedBefore + bytes.length, 'the layer came from the swarm')
    assert.equal(await sha256OfFile(target), digest, 'the layer came from the least mirror')
    await rm(target)
    await end(host)
    return run as Run
  }
}

async function saveLayer(url: string, file: string): Promise<void> {
  const request = http.get(url, { agent: false })
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  await pipeline(answer, createWriteStream(file))
}

/** Of a runtime that starts with nothing. */
async function timedPull(
  client: string,
  { image, mirror }: { image: string; mirror: string },
): Promise<Pull> {
  const place = { registry: registry.ownAddress, mirror, directory: path.join(directory, 'client') }
  const runtime = await CLIENTS[client](place)
  try {
    await settle(directory, lengthBytes)
    const stolenBefore = await stolenSeconds()
    const startedAt = performance.now()
    const { isDone, said } = await runtime.pull(`bench/${image}`, '1')
    const seconds = (performance.now() - startedAt) / 1000
    assert(isDone, said)
    return { seconds, stolen: (await stolenSeconds()) - stolenBefore }
  } finally {
    await runtime.stop()
    await rm(place.directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** From the request to the first byte of the body. */
async function firstByteMs({ mirror }: Host, image: string, digest: string): Promise<number> {
  const startedAt = performance.now()
  const request = http.get(`http://${mirror}/v2/bench/${image}/blobs/${digest}`, { agent: false })
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  assert.equal(answer.statusCode, 200)
  let tookMs = Number.NaN
  answer.once('data', () => {
    tookMs = performance.now() - startedAt
  })
  await once(answer, 'end')
  return tookMs
}

/** Bytes that its dfdaemon has served from the swarm. */
async function fromSwarm({ mirror }: Host): Promise<number> {
  const text = await (await fetch(`http://${mirror}/metrics`)).text()
  return Number(/^dragonfly_dfdaemon_served_bytes_total\{source="swarm"\} (\d+)/m.exec(text)?.[1])
}

async function end(host: Host): Promise<void> {
  await host.killDfdaemon()
  await stopResident(host.account.home)
  await rm(host.account.home, { recursive: true, force: true })
}

function printPulls(client: string, runs: readonly Run[]): void {
  const ratios = runs.map(({ direct, through }) => through.seconds / direct.seconds)
  const leastRatios = runs.map(({ direct, atLeast }) => atLeast.seconds / direct.seconds)
  const [ratio, leastRatio] = [ratios, leastRatios].map(all => quantile(all, 0.5))
  const medianOf = (of: (run: Run) => number) => quantile(runs.map(of), 0.5)
  const seconds = [medianOf(run => run.direct.seconds), medianOf(run => run.through.seconds)]
  const stolen = KINDS.map(kind => `${kind} ${medianOf(run => run[kind].stolen).toFixed(2)}`).join(', ')
  const verdict = ratio <= PULL_TARGET ? 'met' : 'MISSED'
  const [spread, leastSpread] = [ratios, leastRatios].map(all => all.map(one => one.toFixed(2)).join(' '))
  const columns = [...seconds, ratio].map(value => value.toFixed(2).padStart(9)).join('')
  const cells = `   ≤ ${PULL_TARGET} ${verdict.padEnd(7)} ${leastRatio.toFixed(2)}   ${spread} (least: ${leastSpread})`
  console.log(`${client.padEnd(12)}${columns}${cells}`)
  console.log(`${''.padEnd(12)}  CPU seconds per pull that the machine's host had for others: ${stolen}`)
}

async function printFirstBytes(host: Host, { own }: Image): Promise<void> {
  await settle(directory, SMALL_LAYERS * SMALL_LAYER_BYTES)
  const first = await firstByteMs(host, 'small', own.config.digest)
  const times: number[] = []
  for (const { digest } of own.layers) times.push(await firstByteMs(host, 'small', digest))
  const median = quantile(times, 0.5)
  const verdict = median <= FIRST_BYTE_TARGET_MS ? 'met' : 'MISSED'
  console.log(
    `\nfirst byte of a layer that the swarm holds, at a host that does not: median ${median.toFixed(0)} ms of ` +
      `${times.length}, at most ${Math.max(...times).toFixed(0)} ms, ≤ ${FIRST_BYTE_TARGET_MS} ${verdict}; ` +
      `${first.toFixed(0)} ms for the very first layer of that host`,
  )
}
