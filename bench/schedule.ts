import { parseArgs } from 'node:util'
import { seededRandom } from '../src/core/random.ts'
import { type HostId, Hosts } from '../src/swarm/hosts.ts'
import { type Assignment, type ConsumerReport, TaskSwarm } from '../src/swarm/task-swarm.ts'

/**
 * What a decision costs: one TaskSwarm, members that hold a random part of the pieces, and every assignment reported as done in turn.
 * No network and no messages. Each row is one state of the swarm; the cost counts all work of an event, waiting consumers included.
 *
 *     node bench/schedule.ts [--members 1000,10000] [--pieces 1000] [--events 20000]
 */

const { values } = parseArgs({
  options: {
    members: { type: 'string', default: '1000,10000' },
    pieces: { type: 'string', default: '1000' },
    events: { type: 'string', default: '20000' },
  },
})

const SEED: HostId = 0
const pieces = Number(values.pieces)
const events = Number(values.events)

function makeSwarm(members: number, heldShare: number): { swarm: TaskSwarm; joinMicroseconds: number } {
  const random = seededRandom(1)
  const hosts = new Hosts()
  hosts.add(SEED, 64)
  const swarm = new TaskSwarm({ hosts, seed: SEED, random, window: 4 }, pieces)
  for (let piece = 0; piece < pieces; piece++) swarm.offerSeedPiece(piece, 0)
  const startedAt = performance.now()
  for (let host = 1; host <= members; host++) {
    hosts.add(host, 4)
    const held: number[] = []
    for (let piece = 0; piece < pieces; piece++) if (random.next() < heldShare) held.push(piece)
    swarm.join(host, held, 0)
  }
  return { swarm, joinMicroseconds: ((performance.now() - startedAt) * 1000) / members }
}

function measure(members: number, heldShare: number): void {
  const { swarm, joinMicroseconds } = makeSwarm(members, heldShare)
  const queue: Assignment[] = swarm.takeAssignments()
  let reported = 0
  let assigned = 0
  const eventsMax = Math.min(events, queue.length * 50)
  const startedAt = performance.now()
  for (let next = 0; next < queue.length && reported < eventsMax; next++) {
    const { consumer, piece, source } = queue[next]
    swarm.report(consumer, doneReport(piece, source), reported)
    reported++
    const more = swarm.takeAssignments()
    assigned += more.length
    queue.push(...more)
  }
  const microseconds = (performance.now() - startedAt) * 1000
  console.log(
    [
      `${members} members × ${pieces} pieces, ${Math.round(heldShare * 100)} % held:`,
      `${(microseconds / Math.max(1, assigned)).toFixed(1)} µs per assignment,`,
      `${(microseconds / Math.max(1, reported)).toFixed(1)} µs per report`,
      `(${reported} reports, ${assigned} assignments; a join ${joinMicroseconds.toFixed(0)} µs)`,
    ].join(' '),
  )
}

function doneReport(piece: number, source: HostId): ConsumerReport {
  return { done: [{ piece, source }], failed: [], released: [], slow: [], fromOrigin: [] }
}

for (const members of values.members.split(',').map(Number)) {
  for (const heldShare of [0, 0.1, 0.5, 0.9]) measure(members, heldShare)
}
