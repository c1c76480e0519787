import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../core/random.ts'
import { Hosts } from './hosts.ts'
import { type Assignment, TaskSwarm } from './task-swarm.ts'

const SEED = 0

/** Members 1…`members` that hold nothing, each with one slot and a window of one. */
function newSwarm(options: { pieces: number; members: number; seedSlots: number; roundTripMs?: number }) {
  const { pieces, members, seedSlots, roundTripMs = 0 } = options
  const hosts = new Hosts()
  hosts.add(SEED, seedSlots)
  for (let host = 1; host <= members; host++) hosts.add(host, 1, roundTripMs)
  const swarm = new TaskSwarm(
    { hosts, seed: SEED, random: seededRandom(1), window: 1, pieceLength: 1 },
    pieces,
  )
  return swarm
}

const upTo = (count: number) => Array.from({ length: count }, (_, piece) => piece)

function finish(swarm: TaskSwarm, { consumer, piece, source }: Assignment, elapsedMs = 100): Assignment[] {
  const nothing = { failed: [], released: [], slow: [], fromOrigin: [] }
  swarm.report(consumer, { ...nothing, done: [{ piece, source, elapsedMs }] }, 0)
  return swarm.takeAssignments()
}

test('who holds a piece that nobody else has gets no fresh one, where there are other sources', () => {
  const swarm = newSwarm({ pieces: 4, members: 2, seedSlots: 2 })
  for (const piece of upTo(4)) swarm.offerSeedPiece(piece, 0)
  swarm.join(1, [], 0)
  swarm.join(2, [], 0)
  const [first, second] = swarm.takeAssignments()
  assert.deepEqual([first.source, second.source], [SEED, SEED])
  // Nobody else could give it anything.
  const [third] = finish(swarm, first)
  assert.equal(third.source, SEED)
  assert.deepEqual(finish(swarm, second), [
    { ...third, consumer: second.consumer, source: first.consumer, piece: first.piece },
  ])
})

test('the seed sends to who is known to be fast before those of whom nothing is known, once there is more than one', () => {
  const swarm = newSwarm({ pieces: 6, members: 6, seedSlots: 1 })
  for (const piece of upTo(6)) swarm.offerSeedPiece(piece, 0)
  for (const host of [1, 2, 3, 4, 5, 6]) swarm.join(host, [], 0)
  const fromSeed = (assignments: Assignment[]) => assignments.find(({ source }) => source === SEED)!
  const first = fromSeed(swarm.takeAssignments())
  assert.equal(first.consumer, 1)
  const second = fromSeed(finish(swarm, first))
  assert.equal(second.consumer, 2)
  assert.equal(fromSeed(finish(swarm, second)).consumer, 1)
})

test('no more pieces leave a zone at once than its line carries', () => {
  const swarm = newSwarm({ pieces: 10, members: 10, seedSlots: 1 })
  for (const holder of [1, 2, 3, 4]) swarm.join(holder, upTo(10), 0, { zone: 0 })
  for (const piece of upTo(10)) swarm.offerSeedPiece(piece, 0)
  for (const consumer of [5, 6, 7, 8, 9, 10]) swarm.join(consumer, [], 0, { zone: consumer })
  const leaving = swarm.takeAssignments().filter(({ source }) => source !== SEED)
  assert.equal(leaving.length, 2)
  const [next] = finish(swarm, leaving[0]).filter(({ source }) => [1, 2, 3, 4].includes(source))
  assert.ok(next)
})

test('far away pieces are in line behind the same source, near by they are not', () => {
  for (const [roundTripMs, isExpected] of [
    [40, true],
    [0, false],
  ] as const) {
    const swarm = newSwarm({ pieces: 200, members: 2, seedSlots: 1, roundTripMs })
    swarm.join(1, upTo(200), 0)
    for (const piece of upTo(200)) swarm.offerSeedPiece(piece, 0)
    swarm.join(2, [], 0)
    const [first] = swarm.takeAssignments()
    assert.equal(first.source, 1)
    const more = finish(swarm, first, 140)
    assert.ok(more.every(({ consumer, source }) => consumer === 2 && source === 1))
    assert.equal(more.length > 1, isExpected)
  }
})

test('members that hold more than the seed offers are given all that it offers', () => {
  const swarm = newSwarm({ pieces: 200, members: 2, seedSlots: 4, roundTripMs: 40 })
  for (const host of [1, 2]) swarm.join(host, upTo(100), 0)
  const offered = [150, 151, 152]
  for (const piece of offered) swarm.offerSeedPiece(piece, 0)
  const received = new Map<number, number[]>([1, 2].map(host => [host, []]))
  const given = swarm.takeAssignments()
  for (let next = given.shift(); next; next = given.shift()) {
    received.get(next.consumer)!.push(next.piece)
    given.push(...finish(swarm, next, 140))
  }
  for (const pieces of received.values()) assert.deepEqual(pieces.sort(), offered)
})

test('who fetches from the seed alone is given nothing by others and gives them nothing', () => {
  const swarm = newSwarm({ pieces: 4, members: 5, seedSlots: 2 })
  swarm.join(1, upTo(4), 0)
  for (const piece of upTo(4)) swarm.offerSeedPiece(piece, 0)
  swarm.join(2, [], 0, { isSeedOnly: true })
  const received: number[] = []
  for (let [next] = swarm.takeAssignments(); next; [next] = finish(swarm, next)) {
    assert.deepEqual([next.consumer, next.source], [2, SEED])
    received.push(next.piece)
  }
  assert.deepEqual(received.sort(), upTo(4))
  swarm.leave(1, 0)
  for (const host of [3, 4, 5]) swarm.join(host, [], 0)
  assert.deepEqual(
    swarm.takeAssignments().map(({ source }) => source),
    [SEED, SEED],
  )
})

test('who was a source and fetches from the seed alone now is no source any more', () => {
  const swarm = newSwarm({ pieces: 4, members: 3, seedSlots: 1 })
  swarm.join(1, upTo(4), 0)
  for (const piece of upTo(4)) swarm.offerSeedPiece(piece, 0)
  swarm.join(2, [], 0)
  const [fromFirst] = swarm.takeAssignments()
  assert.equal(fromFirst.source, 1)
  swarm.leave(1, 0)
  swarm.join(1, upTo(4), 0, { isSeedOnly: true })
  const received = [fromFirst]
  for (let [next] = finish(swarm, fromFirst); next; [next] = finish(swarm, next)) received.push(next)
  assert.deepEqual(
    received.map(({ source }) => source),
    [1, SEED, SEED, SEED],
  )
})

test('a piece that is late by what is known of the links does not keep its consumer waiting', () => {
  const swarm = newSwarm({ pieces: 10, members: 3, seedSlots: 1 })
  for (const holder of [1, 2]) swarm.join(holder, upTo(10), 0)
  for (const piece of upTo(10)) swarm.offerSeedPiece(piece, 0)
  swarm.join(3, [], 0)
  let [next] = swarm.takeAssignments()
  const sources = new Set<number>()
  while (!sources.has(next.source)) {
    sources.add(next.source)
    ;[next] = finish(swarm, next, 200)
  }
  swarm.tick(599)
  assert.deepEqual(swarm.takeAssignments(), [])
  swarm.tick(600)
  const [another] = swarm.takeAssignments()
  assert.equal(another.consumer, 3)
  assert.notEqual(another.source, next.source)
})

/** The pieces in the order in which member 1 is given them, one after the other. */
function orderFor(swarm: TaskSwarm, meanwhile: (count: number) => void = () => {}): number[] {
  const order: number[] = []
  const given = swarm.takeAssignments()
  for (let next = given.shift(); next; next = given.shift()) {
    order.push(next.piece)
    meanwhile(order.length)
    given.push(...finish(swarm, next))
  }
  return order
}

test('who reads from further on is given those pieces first, then the ones before, all in their order', () => {
  const swarm = newSwarm({ pieces: 200, members: 1, seedSlots: 4 })
  for (const piece of upTo(200)) swarm.offerSeedPiece(piece, 0)
  swarm.join(1, [180, 185], 0, { reader: { lookAhead: 4, fromPiece: 180 } })
  const order = orderFor(swarm)
  const fromThere = upTo(200).slice(181)
  assert.deepEqual(
    order.slice(0, 18),
    fromThere.filter(piece => piece !== 185),
  )
  assert.deepEqual(order.slice(18), upTo(180))
})

test('the window of who reads goes on from what it has, wherever the pieces come from', () => {
  const swarm = newSwarm({ pieces: 100, members: 2, seedSlots: 1 })
  swarm.join(2, upTo(100), 0)
  for (const piece of upTo(100)) swarm.offerSeedPiece(piece, 0)
  swarm.join(1, [], 0, { reader: { lookAhead: 5, fromPiece: 60 } })
  const missing = new Set(upTo(100))
  for (const piece of orderFor(swarm)) {
    const firstOf = (pieces: number[]) => pieces.find(each => missing.has(each))
    const start = firstOf(upTo(100).slice(60)) ?? firstOf(upTo(100))!
    assert.ok(start <= piece && piece < start + 5, `${piece} where ${start} is the first`)
    missing.delete(piece)
  }
  assert.equal(missing.size, 0)
})

test('a reader who begins elsewhere moves the window, and nothing is given twice', () => {
  const swarm = newSwarm({ pieces: 100, members: 1, seedSlots: 4 })
  for (const piece of upTo(100)) swarm.offerSeedPiece(piece, 0)
  swarm.join(1, [], 0, { reader: { lookAhead: 4, fromPiece: 0 } })
  const nothing = { done: [], failed: [], released: [], slow: [], fromOrigin: [] }
  const order = orderFor(swarm, count => {
    if (count === 10) swarm.report(1, { ...nothing, reader: { lookAhead: 4, fromPiece: 70 } }, 0)
  })
  assert.equal(new Set(order).size, order.length)
  assert.deepEqual(
    order.filter(piece => piece >= 70),
    upTo(100).slice(70),
  )
  assert.ok(order.indexOf(70) < 15, `after ${order.indexOf(70)} others`)
  assert.equal(order.length, 100)
})

test('where nothing from there on is to be had, everything else is given', () => {
  const swarm = newSwarm({ pieces: 100, members: 1, seedSlots: 4 })
  for (const piece of upTo(50)) swarm.offerSeedPiece(piece, 0)
  swarm.join(1, [], 0, { reader: { lookAhead: 4, fromPiece: 60 } })
  assert.deepEqual(
    orderFor(swarm).sort((a, b) => a - b),
    upTo(50),
  )
})
