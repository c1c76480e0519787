import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { newSwarm, offerAll, reportOf, SEED, short, upTo } from '../../test/support/swarm-scene.ts'
import type { ErrorCode } from '../core/error.ts'
import { PIECE_COUNT_MAX } from '../core/piece-layout.ts'
import type { Assignment } from './task-swarm.ts'

const failed = (assignment: Assignment, code: ErrorCode) => reportOf({ failed: [{ ...assignment, code }] })

describe('who gets what from whom', () => {
  test('a lone consumer gets its pieces from the seed, in order, as many as fit its window; more once it has one', () => {
    const { swarm } = newSwarm(20)
    offerAll(swarm, 20)
    swarm.join(1, [], 0)
    const first = swarm.takeAssignments()
    assert.deepEqual(
      short(first),
      upTo(4).map(piece => `${piece}: 0→1`),
    )
    swarm.report(1, reportOf({ done: [first[0]] }), 1)
    assert.equal(swarm.takeAssignments().length, 5)
  })

  test('the seed gives each of two consumers other pieces, and what one has the other gets from it', () => {
    const { swarm } = newSwarm(8)
    offerAll(swarm, 8)
    swarm.join(1, [], 0)
    swarm.join(2, [], 0)
    const fromSeed = swarm.takeAssignments()
    assert.equal(new Set(fromSeed.map(({ piece }) => piece)).size, fromSeed.length)
    assert.equal(fromSeed.length, 8)
    swarm.report(1, reportOf({ done: [{ piece: 0, source: SEED }] }), 1)
    swarm.report(2, reportOf({ done: [fromSeed[7]] }), 2)
    const exchanged = short(swarm.takeAssignments())
    assert.ok(exchanged.includes('0: 1→2') || exchanged.includes(`${fromSeed[7].piece}: 2→1`))
  })

  test('a piece that the seed does not offer is not asked of a peer, because nobody can verify it', () => {
    const { swarm } = newSwarm(4)
    swarm.join(1, [0, 1, 2, 3], 0)
    swarm.join(2, [], 0)
    assert.deepEqual(swarm.takeAssignments(), [])
    swarm.offerSeedPiece(2, 1)
    assert.deepEqual(short(swarm.takeAssignments()), ['2: 1→2'])
  })

  test('what a member holds beyond its assignments counts, and is not assigned', () => {
    const { swarm } = newSwarm(3, { window: 1, seedSlots: 1 })
    swarm.join(1, [0], 0)
    swarm.join(2, [], 0)
    swarm.report(2, reportOf({ fromOrigin: [1] }), 0)
    offerAll(swarm, 3)
    assert.ok(!short(swarm.takeAssignments()).some(text => text.startsWith('1: ') && text.endsWith('→2')))
  })

  test('a member without anything to do keeps nobody waiting, an empty task has no consumers', () => {
    const { swarm } = newSwarm(0)
    swarm.join(1, [], 0)
    assert.equal(swarm.hasConsumers, false)
    assert.equal(swarm.memberCount, 1)
  })
})

describe('sources that fail', () => {
  /** Host 1 holds piece 0, host 2 is told to fetch it from there. */
  function askedOfPeer() {
    const made = newSwarm(2, { window: 1 })
    made.swarm.offerSeedPiece(0, 0)
    made.swarm.join(1, [0, 1], 0)
    made.swarm.join(3, [0, 1], 0)
    made.swarm.join(2, [], 0)
    const [first] = made.swarm.takeAssignments()
    assert.ok(first.consumer === 2 && first.source !== SEED)
    return { ...made, first }
  }

  const codes: [code: ErrorCode, isAskedAgainAfterMs: number][] = [
    ['SOURCE_BUSY', 200],
    ['PIECE_NOT_HELD', Number.POSITIVE_INFINITY],
    ['SOURCE_GONE', 5_000],
    ['SOURCE_SLOW', 5_000],
    ['TOKEN_INVALID', 5_000],
    ['DIGEST_MISMATCH', Number.POSITIVE_INFINITY],
    ['PROTOCOL_INVALID', Number.POSITIVE_INFINITY],
  ]
  for (const [code, afterMs] of codes) {
    test(`a source that failed with ${code} is asked again after ${afterMs / 1000} s`, () => {
      const { swarm, first } = askedOfPeer()
      swarm.report(2, failed(first, code), 0)
      let askedAtMs = Number.POSITIVE_INFINITY
      let [next] = swarm.takeAssignments()
      for (let nowMs = 0; nowMs < 20_000 && askedAtMs > nowMs; nowMs += 100) {
        if (next?.source === first.source) askedAtMs = nowMs
        else if (next) swarm.report(2, reportOf({ released: [next] }), nowMs)
        swarm.tick(nowMs)
        next = swarm.takeAssignments()[0]
      }
      assert.ok(askedAtMs >= afterMs && askedAtMs <= afterMs + 1_500, `asked at ${askedAtMs} ms`)
    })
  }

  test('a lie is not forgotten because the same source then fails in another way', () => {
    const { swarm } = newSwarm(2, { seedSlots: 1 })
    swarm.join(1, [0, 1], 0)
    offerAll(swarm, 2)
    swarm.join(2, [], 0)
    const [a, b] = swarm.takeAssignments()
    assert.deepEqual([a.source, b.source], [1, 1])
    swarm.report(2, failed(a, 'DIGEST_MISMATCH'), 0)
    swarm.report(2, failed(b, 'SOURCE_GONE'), 0)
    for (let nowMs = 0; nowMs < 20_000; nowMs += 250) {
      for (const { piece, source } of swarm.takeAssignments()) {
        assert.equal(source, SEED)
        swarm.report(2, reportOf({ released: [{ piece, source }] }), nowMs)
      }
      swarm.tick(nowMs)
    }
  })

  test('bad luck on the way isolates nobody who has served much', () => {
    const { swarm } = newSwarm(80, { seedSlots: 1 })
    offerAll(swarm, 80)
    swarm.join(1, upTo(80), 0)
    swarm.join(2, [], 0)
    for (let served = 0; served < 48; ) {
      const assigned = swarm.takeAssignments().filter(({ consumer }) => consumer === 2)
      assert.ok(assigned.length > 0)
      served += assigned.filter(({ source }) => source === 1).length
      swarm.report(2, reportOf({ done: assigned }), 0)
    }
    swarm.leave(2, 0)
    for (const unlucky of [3, 4]) {
      swarm.join(unlucky, [], 0)
      const lie = swarm.takeAssignments().find(entry => entry.consumer === unlucky && entry.source === 1)!
      swarm.report(unlucky, failed(lie, 'DIGEST_MISMATCH'), 0)
      swarm.leave(unlucky, 0)
    }
    swarm.join(5, [], 0)
    assert.ok(swarm.takeAssignments().some(({ consumer, source }) => consumer === 5 && source === 1))
  })

  test('neither the accused nor the accuser wipes the slate clean by announcing again', () => {
    const { swarm } = newSwarm(1, { seedSlots: 1 })
    swarm.join(1, [0], 0)
    swarm.offerSeedPiece(0, 0)
    for (const accuser of [2, 3]) {
      swarm.join(accuser, [], 0)
      const [lie] = swarm.takeAssignments()
      assert.equal(lie.source, 1)
      swarm.report(accuser, failed(lie, 'DIGEST_MISMATCH'), 0)
      for (const { piece, source, consumer } of swarm.takeAssignments()) {
        swarm.report(consumer, reportOf({ done: [{ piece, source }] }), 0)
      }
      swarm.leave(accuser, 0)
    }
    swarm.join(1, [0], 0)
    swarm.join(4, [], 0)
    assert.deepEqual(short(swarm.takeAssignments()), ['0: 0→4'])
  })

  test('who accuses many is not believed about further ones', () => {
    const { swarm } = newSwarm(1, { seedSlots: 1 })
    const sources = [1, 2, 3, 4]
    for (const source of sources) swarm.join(source, [0], 0)
    swarm.offerSeedPiece(0, 0)
    for (const accuser of [5, 6]) {
      swarm.join(accuser, [], 0)
      for (const _ of sources) {
        const [lie] = swarm.takeAssignments()
        assert.ok(sources.includes(lie.source))
        swarm.report(accuser, failed(lie, 'DIGEST_MISMATCH'), 0)
      }
      const [right] = swarm.takeAssignments()
      assert.equal(right.source, SEED)
      swarm.report(accuser, reportOf({ done: [right] }), 0)
      swarm.leave(accuser, 0)
    }
    swarm.join(7, [], 0)
    const [assigned] = swarm.takeAssignments()
    assert.ok(sources.includes(assigned.source))
  })

  test('the seed is asked again soon, but ever more seldom while it goes on failing', () => {
    const { swarm } = newSwarm(1)
    swarm.offerSeedPiece(0, 0)
    swarm.join(1, [], 0)
    const askedAtMs: number[] = []
    for (let nowMs = 0; nowMs < 30_000; nowMs += 50) {
      swarm.tick(nowMs)
      for (const assignment of swarm.takeAssignments()) {
        askedAtMs.push(nowMs)
        swarm.report(1, failed(assignment, 'DIGEST_MISMATCH'), nowMs)
      }
    }
    const pausesMs = askedAtMs.slice(1).map((atMs, i) => atMs - askedAtMs[i])
    assert.deepEqual(pausesMs.slice(0, 6), [200, 400, 800, 1600, 3200, 5000])
  })
})

describe('members that come and go', () => {
  test('an assignment whose source leaves before anybody heard of it is taken back and made anew', () => {
    const { swarm, hosts } = newSwarm(1, { seedSlots: 1 })
    swarm.join(1, [0], 0)
    swarm.offerSeedPiece(0, 0)
    swarm.join(2, [], 0)
    swarm.leave(1, 0)
    assert.deepEqual(short(swarm.takeAssignments()), ['0: 0→2'])
    assert.equal(hosts.utilisation(1), 0)
  })

  test('an assignment whose consumer leaves before it heard of it is forgotten', () => {
    const { swarm, hosts } = newSwarm(1)
    swarm.offerSeedPiece(0, 0)
    swarm.join(1, [], 0)
    swarm.leave(1, 0)
    assert.deepEqual(swarm.takeAssignments(), [])
    assert.equal(hosts.utilisation(SEED), 0)
  })

  test('who announces again gets the pieces anew that were on their way', () => {
    const { swarm, hosts } = newSwarm(3)
    offerAll(swarm, 3)
    swarm.join(1, [], 0)
    swarm.takeAssignments()
    swarm.join(1, [1], 1)
    assert.deepEqual(short(swarm.takeAssignments()), ['0: 0→1', '2: 0→1'])
    assert.equal(hosts.utilisation(SEED), 2 / 16)
  })

  test('a dissolved swarm leaves no slot occupied and no assignment', () => {
    const { swarm, hosts } = newSwarm(30)
    offerAll(swarm, 30)
    for (let host = 1; host <= 9; host++) swarm.join(host, host === 1 ? upTo(10) : [], 0)
    swarm.dissolve()
    assert.deepEqual(swarm.takeAssignments(), [])
    for (let host = 0; host <= 9; host++) assert.equal(hosts.utilisation(host), 0)
  })

  test('a task of unknown length grows with the seed, and its end satisfies those who have all', () => {
    const { swarm } = newSwarm(null)
    swarm.join(1, [], 0)
    for (let piece = 0; piece < 200; piece++) {
      swarm.offerSeedPiece(piece, piece)
      const [assignment] = swarm.takeAssignments()
      assert.equal(assignment.piece, piece)
      swarm.report(1, reportOf({ done: [assignment] }), piece)
    }
    assert.equal(swarm.hasConsumers, true)
    swarm.seal(200)
    assert.equal(swarm.hasConsumers, false)
  })
})

describe('late pieces', () => {
  /** All that host 2 fetches comes from host 1, slowly. */
  function late() {
    const made = newSwarm(8, { window: 2, seedSlots: 4 })
    made.swarm.join(1, upTo(8), 0)
    offerAll(made.swarm, 8)
    made.swarm.join(2, [], 0)
    return { ...made, first: made.swarm.takeAssignments() }
  }

  test('late pieces do not fill the window, and are asked of a second source at most', () => {
    const { swarm, first } = late()
    assert.ok(first.every(({ source }) => source === 1))
    swarm.report(2, reportOf({ slow: first.map(({ piece }) => piece) }), 1)
    const more = swarm.takeAssignments()
    assert.ok(more.length > 0)
    swarm.report(2, reportOf({ slow: first.map(({ piece }) => piece) }), 2)
    swarm.report(2, reportOf({ slow: first.map(({ piece }) => piece) }), 3)
    const all = [...first, ...more, ...swarm.takeAssignments()]
    for (const piece of upTo(8)) assert.ok(all.filter(entry => entry.piece === piece).length <= 2)
  })

  test('a piece that was late and is done is late no more, even if both are said at once', () => {
    const { swarm, first } = late()
    const [{ piece, source }] = first
    swarm.report(2, reportOf({ done: [{ piece, source }], slow: [piece] }), 1)
    for (const { consumer, ...assigned } of swarm.takeAssignments()) {
      assert.notEqual(assigned.piece, piece)
      assert.notEqual(assigned.source, SEED, 'it is not starving')
    }
  })

  test('a piece that is held is not asked for because one of its two sources is given up', () => {
    const { swarm } = newSwarm(2)
    swarm.join(1, [0], 0)
    swarm.join(3, [0], 0)
    swarm.offerSeedPiece(0, 0)
    swarm.join(2, [], 0)
    const [first] = swarm.takeAssignments()
    swarm.report(2, reportOf({ slow: [0] }), 1)
    const [second] = swarm.takeAssignments()
    assert.notEqual(first.source, second.source)
    swarm.report(2, reportOf({ fromOrigin: [0], released: [second] }), 2)
    swarm.tick(3)
    assert.deepEqual(swarm.takeAssignments(), [])
  })

  test('a piece is not late if it is not on its way', () => {
    const { swarm } = newSwarm(9, { window: 1 })
    swarm.join(1, upTo(9), 0)
    offerAll(swarm, 9)
    swarm.join(2, [], 0)
    const awaited = swarm.takeAssignments().map(({ piece }) => piece)
    const others = upTo(9).filter(piece => !awaited.includes(piece))
    swarm.report(2, reportOf({ slow: [...others, 77, PIECE_COUNT_MAX * 2] }), 1)
    assert.deepEqual(swarm.takeAssignments(), [])
  })
})

describe('members that take assignments and say nothing', () => {
  test('do not keep the slots of a source for ever', () => {
    const { swarm, hosts } = newSwarm(8, { seedSlots: 2 })
    offerAll(swarm, 8)
    swarm.join(1, [], 0)
    swarm.join(2, [], 0)
    assert.ok(swarm.takeAssignments().every(({ consumer }) => consumer === 1))
    swarm.tick(124)
    assert.deepEqual(swarm.takeAssignments(), [])
    swarm.tick(125)
    assert.ok(swarm.takeAssignments().some(({ consumer }) => consumer === 2))
    swarm.report(1, reportOf({ done: [{ piece: 0, source: SEED }] }), 126)
    swarm.dissolve()
    assert.equal(hosts.utilisation(SEED), 0)
  })

  test('make others wait no longer than their slots last, even between ticks', () => {
    const { swarm } = newSwarm(8, { seedSlots: 1 })
    offerAll(swarm, 8)
    for (const host of [1, 2]) swarm.join(host, [], 0)
    assert.deepEqual(
      swarm.takeAssignments().map(({ consumer }) => consumer),
      [1],
    )
    swarm.join(3, [], 125)
    assert.deepEqual(
      swarm.takeAssignments().map(({ consumer }) => consumer),
      [2],
    )
  })
})
