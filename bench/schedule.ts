import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { seededRandom } from '../src/core/random.ts'
import { type HostId, Hosts } from '../src/swarm/hosts.ts'
import { type Assignment, type ConsumerReport, TaskSwarm } from '../src/swarm/task-swarm.ts'
import { cpuMicroseconds } from './figures.ts'

/**
 * What a decision costs: one TaskSwarm, members that hold a random part of the pieces, and every assignment reported as done in turn.
 * No network and no messages. Each row is one state of the swarm; the cost counts all work of an event, waiting consumers included.
 *
 *     node bench/schedule.ts [--members 1000,10000] [--pieces 1000] [--events 20000]
 */

export type ScheduleCase = {
  readonly members: number
  readonly pieces: number
  /** Of all pieces, that each member holds at the beginning. */
  readonly heldShare: number
  readonly events: number
}

export type ScheduleCost = {
  readonly reports: number
  readonly assignments: number
  readonly microsPerAssignment: number
  readonly microsPerReport: number
  readonly microsPerJoin: number
  /** Memory that the swarm takes after everybody has joined. */
  readonly stateMiB: number
}

const SEED: HostId = 0
/** Every member reports a piece in so many milliseconds. */
const PIECE_MS = 100

/** Of as many swarms as it takes to have so many events: the filling of one is over soon. */
export function measureSchedule(plan: ScheduleCase): ScheduleCost {
  warmUp()
  const parts: ScheduleCost[] = []
  for (let left = plan.events; left > 0; left -= parts.at(-1)!.reports) parts.push(measureSwarm(plan))
  const sum = (of: (part: ScheduleCost) => number) => parts.reduce((total, part) => total + of(part), 0)
  const [reports, assignments] = [sum(part => part.reports), sum(part => part.assignments)]
  const microseconds = sum(part => part.microsPerReport * part.reports)
  return {
    reports,
    assignments,
    microsPerAssignment: microseconds / assignments,
    microsPerReport: microseconds / reports,
    microsPerJoin: sum(part => part.microsPerJoin) / parts.length,
    stateMiB: Math.max(...parts.map(part => part.stateMiB)),
  }
}

let otherTask: TaskSwarm | null = null
/**
 * As in a supernode that has run for a while: the code is compiled, and stays so because another task is there. V8 keeps no compiled code
 * whose objects are all gone when memory is collected, which `usedBytes` has it do before each swarm.
 */
function warmUp(): void {
  if (otherTask) return
  otherTask = makeSwarm(1_000, 1_000, 0.5).swarm
  for (const heldShare of [0, 0.5, 0])
    measureSwarm({ members: 1_000, pieces: 1_000, heldShare, events: 20_000 })
}

function measureSwarm({ members, pieces, heldShare, events }: ScheduleCase): ScheduleCost {
  const before = usedBytes()
  const { swarm, joinMicroseconds } = makeSwarm(members, pieces, heldShare)
  const stateBytes = usedBytes() - before
  const queue: Assignment[] = swarm.takeAssignments()
  let reports = 0
  let assignments = 0
  const eventsMax = Math.min(events, queue.length * 50)
  const startedAt = cpuMicroseconds()
  for (let next = 0; next < queue.length && reports < eventsMax; next++) {
    const { consumer, piece, source } = queue[next]
    swarm.report(consumer, doneReport(piece, source), (reports * PIECE_MS) / members)
    reports++
    const more = swarm.takeAssignments()
    assignments += more.length
    queue.push(...more)
  }
  const microseconds = cpuMicroseconds() - startedAt
  return {
    reports,
    assignments,
    microsPerAssignment: microseconds / Math.max(1, assignments),
    microsPerReport: microseconds / Math.max(1, reports),
    microsPerJoin: joinMicroseconds,
    stateMiB: stateBytes / 1024 ** 2,
  }
}

function makeSwarm(
  members: number,
  pieces: number,
  heldShare: number,
): { swarm: TaskSwarm; joinMicroseconds: number } {
  const random = seededRandom(1)
  const hosts = new Hosts()
  hosts.add(SEED, 64)
  const swarm = new TaskSwarm({ hosts, seed: SEED, random, window: 1, pieceLength: 1 }, pieces)
  for (let piece = 0; piece < pieces; piece++) swarm.offerSeedPiece(piece, 0)
  const startedAt = cpuMicroseconds()
  for (let host = 1; host <= members; host++) {
    hosts.add(host, 1)
    const held: number[] = []
    for (let piece = 0; piece < pieces; piece++) if (random.next() < heldShare) held.push(piece)
    swarm.join(host, held, 0)
  }
  return { swarm, joinMicroseconds: (cpuMicroseconds() - startedAt) / members }
}

function doneReport(piece: number, source: HostId): ConsumerReport {
  return { done: [{ piece, source }], failed: [], released: [], slow: [], fromOrigin: [] }
}

/** After everything that is no longer needed is gone. */
function usedBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function main(): void {
  const { values } = parseArgs({
    options: {
      members: { type: 'string', default: '1000,10000' },
      pieces: { type: 'string', default: '1000' },
      events: { type: 'string', default: '20000' },
    },
  })
  const pieces = Number(values.pieces)
  for (const members of values.members.split(',').map(Number)) {
    for (const heldShare of [0, 0.1, 0.5, 0.9]) {
      const cost = measureSchedule({ members, pieces, heldShare, events: Number(values.events) })
      console.log(
        [
          `${members} members × ${pieces} pieces, ${Math.round(heldShare * 100)} % held:`,
          `${cost.microsPerAssignment.toFixed(1)} µs per assignment,`,
          `${cost.microsPerReport.toFixed(1)} µs per report, state ${cost.stateMiB.toFixed(0)} MiB`,
          `(${cost.reports} reports, ${cost.assignments} assignments; a join ${cost.microsPerJoin.toFixed(0)} µs)`,
        ].join(' '),
      )
    }
  }
}

if (import.meta.main) main()
