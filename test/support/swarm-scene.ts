import { seededRandom } from '../../src/core/random.ts'
import { Hosts } from '../../src/swarm/hosts.ts'
import { type Assignment, type ConsumerReport, TaskSwarm } from '../../src/swarm/task-swarm.ts'

/** One task's swarm and the hosts that may join it, driven by hand. */

export const SEED = 0

export function newSwarm(pieceCount: number | null, options: { window?: number; seedSlots?: number } = {}) {
  const hosts = new Hosts()
  hosts.add(SEED, options.seedSlots ?? 16)
  for (let host = 1; host <= 40; host++) hosts.add(host, 4)
  const swarm = new TaskSwarm(
    { hosts, seed: SEED, random: seededRandom(1), window: options.window ?? 4, pieceLength: 1 },
    pieceCount,
  )
  return { hosts, swarm }
}

export function offerAll(swarm: TaskSwarm, count: number): void {
  for (let piece = 0; piece < count; piece++) swarm.offerSeedPiece(piece, 0)
}

export function reportOf(report: Partial<ConsumerReport>): ConsumerReport {
  return { done: [], failed: [], released: [], slow: [], fromOrigin: [], ...report }
}

export const upTo = (count: number) => Array.from({ length: count }, (_, piece) => piece)

export const short = (assignments: readonly Assignment[]) =>
  assignments.map(({ consumer, piece, source }) => `${piece}: ${source}→${consumer}`)
