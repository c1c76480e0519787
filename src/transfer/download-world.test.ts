import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runDownloadWorld, type WorldOptions } from '../../test/support/download-world.ts'
import { fc } from '../../test/support/properties.ts'

const MIB = 1024 * 1024

const reader = fc.record({ lookAhead: fc.integer({ min: 1, max: 16 }), fromByte: fc.nat(13 * MIB) })

const world: fc.Arbitrary<WorldOptions> = fc.record(
  {
    seed: fc.nat(),
    hasSupernode: fc.boolean(),
    lengthBytes: fc.oneof(fc.constantFrom(0, 1, MIB, 12 * MIB), fc.nat(12 * MIB)),
    isLengthUnknown: fc.boolean(),
    faultRate: fc.constantFrom(0, 0.1, 0.3, 0.7, 1),
    healAtMs: fc.constantFrom(1_000, 20_000, 120_000),
    stored: fc.uniqueArray(fc.nat(11)),
    cancelAtMs: fc.nat(200_000),
    readers: fc.tuple(fc.option(reader, { nil: null }), reader),
  },
  { requiredKeys: ['seed', 'hasSupernode', 'lengthBytes', 'faultRate', 'healAtMs'] },
)

describe('a download in a faulty world', () => {
  test('keeps its rules and ends', () => {
    fc.assert(
      fc.property(world, options => {
        runDownloadWorld(options)
      }),
      { numRuns: 400 },
    )
  })

  test('without faults ends complete, from wherever', () => {
    fc.assert(
      fc.property(world, ({ cancelAtMs: _, ...options }) => {
        const result = runDownloadWorld({ ...options, faultRate: 0 })
        assert.equal(result.phase, 'complete')
        assert.ok(result.endedAtMs < 10_000, `${result.endedAtMs} ms`)
      }),
      { numRuns: 100 },
    )
  })

  test('ends even where nothing ever heals', () => {
    for (let seed = 0; seed < 60; seed++) {
      for (const faultRate of [0.5, 0.9, 1]) {
        const shape = { hasSupernode: seed % 3 > 0, lengthBytes: 8 * MIB, isLengthUnknown: seed % 2 === 0 }
        runDownloadWorld({ seed, faultRate, healAtMs: 3_600_000, ...shape })
      }
    }
  })

  test('is repeated exactly by its seed', () => {
    for (let seed = 0; seed < 10; seed++) {
      const options = { seed, hasSupernode: true, lengthBytes: 10 * MIB, faultRate: 0.3, healAtMs: 30_000 }
      assert.deepEqual(runDownloadWorld(options), runDownloadWorld(options))
    }
  })
})
