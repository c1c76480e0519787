import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { type ModelHost, type ModelOptions, runSwarmModel } from '../../test/support/swarm-model.ts'
import { newSwarm, offerAll, reportOf, SEED, short, upTo } from '../../test/support/swarm-scene.ts'
import { fluidBoundSeconds } from '../core/bound.ts'
import type { ErrorCode } from '../core/error.ts'

describe('hostile members', () => {
  const number = fc.oneof(
    fc.nat(70),
    fc.constantFrom(0, -1, 0.5, Number.NaN, 2 ** 31, 2 ** 32, 2 ** 53, 65_535, 65_536, Infinity),
  )
  const pairs = fc.array(fc.record({ piece: number, source: number }), { maxLength: 5 })
  const elapsedMs = fc.option(fc.constantFrom(0, 1, 1e9, 2 ** 53), { nil: undefined })
  const codeArbitrary = fc.constantFrom<ErrorCode>('DIGEST_MISMATCH', 'PIECE_NOT_HELD', 'SOURCE_GONE')
  const report = fc.record({
    done: fc.array(fc.record({ piece: number, source: number, elapsedMs }), { maxLength: 5 }),
    failed: fc.array(fc.record({ piece: number, source: number, code: codeArbitrary }), { maxLength: 5 }),
    released: pairs,
    slow: fc.array(number, { maxLength: 5 }),
    fromOrigin: fc.array(number, { maxLength: 5 }),
    reader: fc.option(fc.record({ lookAhead: fc.nat(), fromPiece: fc.maxSafeNat() })),
  })
  const count = fc.constantFrom(null, 0, 1, 20, 64)

  test('whatever a member says harms nobody: nothing is thrown, nothing grows, the others finish', () => {
    fc.assert(
      fc.property(
        count,
        fc.array(report, { maxLength: 10 }),
        fc.array(number),
        (pieceCount, reports, held) => {
          const { swarm, hosts } = newSwarm(pieceCount)
          const total = pieceCount ?? 20
          swarm.join(1, held, 0)
          swarm.join(2, [], 0)
          offerAll(swarm, total)
          for (const each of reports) swarm.report(1, each, 0)
          if (pieceCount === null) swarm.seal(total)
          for (let nowMs = 0; nowMs < 60_000; nowMs += 250) {
            for (const { consumer, piece, source } of swarm.takeAssignments()) {
              assert.ok(piece < total)
              if (consumer !== 2) continue
              const answer = source === SEED ? { done: [{ piece, source }] } : null
              const lost = { failed: [{ piece, source, code: 'SOURCE_GONE' as const }] }
              swarm.report(2, reportOf(answer ?? lost), nowMs)
            }
            swarm.tick(nowMs)
          }
          assert.ok(![...swarm.consumers()].includes(2))
          swarm.dissolve()
          assert.equal(hosts.utilisation(SEED), 0)
        },
      ),
      { numRuns: 60 },
    )
  })
})

const same = (count: number, spec: ModelHost) => Array.from({ length: count }, () => spec)
const PEER: ModelHost = { up: 10, down: 20 }

describe('a swarm in motion keeps its rules, and everybody finishes', () => {
  const worlds: Record<string, ModelOptions> = {
    'equal peers': { pieces: 40, seedUp: 20, hosts: same(8, PEER) },
    'more waiting consumers than are looked at per event, and no ticks': {
      pieces: 12,
      seedUp: 20,
      seedSlots: 2,
      hosts: same(50, PEER),
      hasTicks: false,
    },
    'one upload slot each': { pieces: 30, seedUp: 10, seedSlots: 1, hosts: same(10, { ...PEER, slots: 1 }) },
    'peers of all speeds': {
      pieces: 40,
      seedUp: 20,
      hosts: [1, 2, 5, 10, 20, 50].map(up => ({ up, down: 60 / up })),
    },
    'members that die': {
      pieces: 40,
      seedUp: 10,
      hosts: upTo(10).map(i => ({ ...PEER, diesAtMs: i < 5 ? 1_000 + 700 * i : undefined })),
    },
    'members that come late': {
      pieces: 40,
      seedUp: 10,
      hosts: upTo(10).map(i => ({ ...PEER, joinAtMs: 900 * i })),
    },
    'members that leave when they have all': {
      pieces: 40,
      seedUp: 10,
      hosts: upTo(10).map(i => ({ ...PEER, joinAtMs: 900 * i, leavesWhenComplete: true })),
    },
    liars: { pieces: 40, seedUp: 10, hosts: [...same(8, PEER), ...same(2, { ...PEER, isLiar: true })] },
    'a member that accuses everybody': {
      pieces: 40,
      seedUp: 10,
      hosts: [...same(8, PEER), { ...PEER, isParanoid: true }],
    },
    'sources that crawl': {
      pieces: 30,
      seedUp: 20,
      hosts: [...same(3, PEER), ...same(2, { up: 0.001, down: 20, held: upTo(30) })],
    },
    'a seed that fails at first': { pieces: 20, seedUp: 20, seedFailures: 30, hosts: same(5, PEER) },
    'a seed that still fills, its length unknown': {
      pieces: 150,
      seedUp: 20,
      seedPieceEveryMs: 100,
      isLengthUnknown: true,
      hosts: same(6, PEER),
    },
    'members that read from anywhere, and then from elsewhere': {
      pieces: 60,
      seedUp: 10,
      hosts: upTo(8).map(i => ({
        ...PEER,
        reader: { lookAhead: 1 + i, fromPiece: 9 * i },
        readerMoves: { atMs: 400 * i, to: { lookAhead: 8 - i, fromPiece: 70 - 10 * i } },
      })),
    },
    'members that hold parts from before': {
      pieces: 40,
      seedUp: 10,
      hosts: upTo(8).map(i => ({ ...PEER, held: upTo(40).filter(piece => piece % 8 === i) })),
    },
  }
  for (const [name, world] of Object.entries(worlds)) {
    test(name, () => {
      for (const seed of [1, 2, 3]) runSwarmModel({ ...world, seed })
    })
  }

  const rate = fc.integer({ min: 1, max: 30 })
  const reader = fc.record({
    lookAhead: fc.oneof(fc.nat(8), fc.constant(2 ** 40)),
    fromPiece: fc.oneof(fc.nat(45), fc.constant(2 ** 50)),
  })
  const host: fc.Arbitrary<ModelHost> = fc.record(
    {
      up: rate,
      down: rate,
      slots: fc.integer({ min: 1, max: 6 }),
      joinAtMs: fc.nat(5_000),
      diesAtMs: fc.integer({ min: 5_000, max: 20_000 }),
      leavesWhenComplete: fc.boolean(),
      isLiar: fc.boolean(),
      isParanoid: fc.boolean(),
      reader,
      readerMoves: fc.record({ atMs: fc.nat(10_000), to: reader }),
    },
    { requiredKeys: ['up', 'down'] },
  )
  const world: fc.Arbitrary<ModelOptions> = fc.record({
    seed: fc.nat(),
    pieces: fc.integer({ min: 0, max: 40 }),
    isLengthUnknown: fc.boolean(),
    seedUp: rate,
    seedSlots: fc.integer({ min: 1, max: 16 }),
    seedPieceEveryMs: fc.constantFrom(0, 0, 50, 300),
    seedFailures: fc.constantFrom(0, 0, 10),
    hosts: fc.array(host, { minLength: 1, maxLength: 10 }),
    window: fc.integer({ min: 1, max: 6 }),
    latencyMs: fc.constantFrom(0, 1, 50),
  })

  test('any world', () => {
    fc.assert(
      fc.property(world, options => {
        runSwarmModel(options)
      }),
      { numRuns: 150 },
    )
  })

  test('the same seed makes the same decisions, another seed others', () => {
    const options = { pieces: 40, seedUp: 10, hosts: same(8, PEER) }
    const run = (seed: number) => short(runSwarmModel({ ...options, seed }).assignments)
    assert.deepEqual(run(5), run(5))
    assert.notDeepEqual(run(5), run(6))
  })
})

describe('how well a swarm does', () => {
  function figuresOf(peers: number, pieces: number, seedUp: number) {
    const result = runSwarmModel({ pieces, seedUp, hosts: same(peers, PEER) })
    const rates = {
      uploads: same(peers, PEER).map(peer => peer.up),
      downloads: same(peers, PEER).map(peer => peer.down),
    }
    const bound = fluidBoundSeconds({ lengthBytes: pieces, seedUpload: seedUp, ...rates })
    const lastSeconds = Math.max(...result.finishedAtMs.map(atMs => atMs ?? Number.POSITIVE_INFINITY)) / 1000
    return { factor: lastSeconds / bound, peersShare: result.byPeers / (result.byPeers + result.bySeed) }
  }

  test('8 peers get 256 pieces from each other, and the last one is near the bound', () => {
    const { factor, peersShare } = figuresOf(8, 256, 20)
    assert.ok(peersShare >= 0.8, `${peersShare} of the bytes from peers`)
    assert.ok(factor <= 1.25, `${factor} times the bound`)
  })

  test('64 peers get 128 pieces in at most one and a half times the bound', () => {
    const { factor, peersShare } = figuresOf(64, 128, 20)
    assert.ok(peersShare >= 0.95, `${peersShare} of the bytes from peers`)
    assert.ok(factor <= 1.5, `${factor} times the bound`)
  })
})
