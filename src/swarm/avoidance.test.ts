import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../core/random.ts'
import { pauseAfter } from './avoidance.ts'
import { Hosts } from './hosts.ts'
import { type Assignment, type ConsumerReport, TaskSwarm } from './task-swarm.ts'

const SEED = 0
const SOURCE = 1
const CONSUMER = 2
const OTHER = 3
const PIECES = 40

/** The source says that it holds everything, and the seed has no slot to spare. */
function swarmAroundOneSource(): TaskSwarm {
  const hosts = new Hosts()
  for (const [host, slots] of [
    [SEED, 1],
    [SOURCE, 64],
    [CONSUMER, 4],
    [OTHER, 4],
  ])
    hosts.add(host, slots)
  hosts.occupy(SEED)
  const swarm = new TaskSwarm(
    { hosts, seed: SEED, random: seededRandom(1), window: 4, pieceLength: 1 },
    PIECES,
  )
  for (let piece = 0; piece < PIECES; piece++) swarm.offerSeedPiece(piece, 0)
  swarm.join(SOURCE, Array(PIECES).keys(), 0)
  return swarm
}

function reportOf(report: Partial<ConsumerReport>): ConsumerReport {
  return { done: [], failed: [], released: [], slow: [], fromOrigin: [], ...report }
}

const slow = (assignments: readonly Assignment[]) => reportOf({ slow: assignments.map(({ piece }) => piece) })

/** When the consumer is told to ask the source again, up to a limit; what it is told it gives back. */
function askedAgainAt(swarm: TaskSwarm, limitMs: number): number {
  for (let nowMs = 0; nowMs <= limitMs; nowMs += 100) {
    swarm.tick(nowMs)
    if (swarm.takeAssignments().some(({ source, consumer }) => source === SOURCE && consumer === CONSUMER)) {
      return nowMs
    }
  }
  return Number.POSITIVE_INFINITY
}

describe('a source that does not do what it promises', () => {
  test('is not asked for more by whoever waits for something that is late', () => {
    const swarm = swarmAroundOneSource()
    swarm.join(CONSUMER, [], 0)
    const asked = swarm.takeAssignments()
    assert.equal(asked.length, 4)
    swarm.report(CONSUMER, slow(asked), 2_000)
    assert.deepEqual(swarm.takeAssignments(), [])
  })

  test('is asked by the others as before', () => {
    const swarm = swarmAroundOneSource()
    swarm.join(CONSUMER, [], 0)
    swarm.report(CONSUMER, slow(swarm.takeAssignments()), 2_000)
    swarm.join(OTHER, [], 2_000)
    assert.deepEqual(
      swarm.takeAssignments().map(({ source, consumer }) => [source, consumer]),
      Array(4).fill([SOURCE, OTHER]),
    )
  })

  test('is avoided when another one was faster', () => {
    const swarm = swarmAroundOneSource()
    swarm.join(CONSUMER, [], 0)
    const asked = swarm.takeAssignments()
    swarm.report(CONSUMER, slow(asked), 0)
    const released = asked.map(({ piece, source }) => ({ piece, source }))
    swarm.report(CONSUMER, reportOf({ released, fromOrigin: asked.map(({ piece }) => piece) }), 0)
    const atMs = askedAgainAt(swarm, 20_000)
    assert.ok(atMs >= 5_000 && atMs < 20_000, `${atMs}`)
  })

  test('is asked ever more seldom', () => {
    const swarm = swarmAroundOneSource()
    swarm.join(CONSUMER, [], 0)
    const pauses: number[] = []
    let failedAtMs = 0
    for (let nowMs = 0; nowMs < 100_000; nowMs += 100) {
      const asked = swarm.takeAssignments()
      if (asked.length > 0) {
        pauses.push(nowMs - failedAtMs)
        failedAtMs = nowMs
      }
      const failed = asked.map(({ piece, source }) => ({ piece, source, code: 'SOURCE_GONE' as const }))
      swarm.report(CONSUMER, reportOf({ failed }), nowMs)
    }
    assert.deepEqual(
      pauses.map(pauseMs => Math.round(pauseMs / 1_000)),
      [0, 5, 10, 20, 40],
    )
  })

  test('is believed to hold what it holds, whatever one member says', () => {
    const swarm = swarmAroundOneSource()
    swarm.join(CONSUMER, [], 0)
    let denials = 0
    for (let nowMs = 0; nowMs < 60_000; nowMs += 100) {
      const failed = swarm
        .takeAssignments()
        .map(({ piece, source }) => ({ piece, source, code: 'PIECE_NOT_HELD' as const }))
      denials += failed.length
      swarm.report(CONSUMER, reportOf({ failed }), nowMs)
      swarm.tick(nowMs)
    }
    assert.ok(denials <= 8, `${denials} denials`)
    swarm.leave(CONSUMER, 60_000)
    const got = new Set<number>()
    swarm.join(OTHER, [], 60_000)
    for (let nowMs = 60_000; nowMs < 70_000; nowMs += 100) {
      const done = swarm.takeAssignments().filter(({ consumer }) => consumer === OTHER)
      for (const { piece } of done) got.add(piece)
      swarm.report(OTHER, reportOf({ done }), nowMs)
    }
    assert.ok(got.size >= PIECES - 4, `${got.size} of ${PIECES}`)
  })
})

test('a pause fits the failure', () => {
  const peer = { isSeed: false, isDenier: false }
  assert.equal(pauseAfter('SOURCE_BUSY', peer).mostMs, 200)
  assert.equal(pauseAfter('DIGEST_MISMATCH', peer).leastMs, Number.POSITIVE_INFINITY)
  assert.equal(pauseAfter('PIECE_NOT_HELD', { ...peer, isDenier: true }).leastMs, Number.POSITIVE_INFINITY)
  assert.ok(pauseAfter('DIGEST_MISMATCH', { isSeed: true, isDenier: false }).mostMs <= 5_000)
})
