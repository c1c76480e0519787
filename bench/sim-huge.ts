import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { type SimResult, simulate } from '../sim/result.ts'
import { scenarioWith } from '../sim/scenario.ts'

/**
 * 100 000 peers × 200 pieces on 16 supernodes. Peers of different supernodes never meet, so that each supernode's swarm is a world of its
 * own, and as many are simulated at the same time as there are cores.
 */

const PEERS = 100_000
const PIECES = 200
const SUPERNODES = 16
/**
 * Messages and events live as long as a piece takes, and meanwhile a swarm of 6 250 peers makes 80 MiB of them. Where less than a few times
 * that fits, most of what is thrown away is copied first.
 */
const YOUNG_MIB = 768

type Outcome = {
  readonly results: readonly SimResult[]
  readonly wallSeconds: number
  readonly peakGiB: number
}

/** @param divisor of the number of peers, for a look in passing */
export async function runHuge(seed: number, divisor: number): Promise<Outcome> {
  const startedAt = performance.now()
  const results: SimResult[] = []
  const left = Array.from({ length: SUPERNODES }, (_, i) => ({
    seed: seed + i * 1_000,
    peers: PEERS / SUPERNODES / divisor,
  }))
  const work = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      results.push(await inWorker(next))
      const { factor, failed } = results.at(-1)!
      process.stderr.write(`  swarm ${results.length} of ${SUPERNODES}: factor ${factor}, ${failed} failed\n`)
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  const wallSeconds = (performance.now() - startedAt) / 1000
  return { results, wallSeconds, peakGiB: process.resourceUsage().maxRSS / 1024 ** 2 }
}

function inWorker(data: { seed: number; peers: number }): Promise<SimResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(import.meta.filename, {
      workerData: data,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    })
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

if (!isMainThread && parentPort) {
  const { seed, peers } = workerData as { seed: number; peers: number }
  const pieceLength = 1024 ** 2
  const scenario = scenarioWith({ seed, peers, pieceLength, lengthBytes: PIECES * pieceLength })
  parentPort.postMessage(simulate(scenario).result)
}
