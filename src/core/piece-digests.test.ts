import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { PieceDigests } from './piece-digests.ts'
import { PIECE_COUNT_MAX } from './piece-layout.ts'

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 })

test('digests by piece behave like a map from index to 32 bytes, and 32 more where they are known', () => {
  const entry = fc.tuple(fc.nat(300), digest, fc.option(digest))
  fc.assert(
    fc.property(fc.array(entry), entries => {
      const digests = new PieceDigests()
      const model = new Map<number, { bytes: Uint8Array; prefix: Uint8Array | null }>()
      for (const [index, bytes, prefix] of entries) {
        digests.set(index, bytes, prefix)
        model.set(index, { bytes, prefix })
        assert.equal(digests.count, model.size)
      }
      assert.deepEqual(
        [...digests.known()],
        [...model.keys()].sort((a, b) => a - b),
      )
      for (let index = 0; index <= 301; index++) {
        assert.equal(digests.has(index), model.has(index))
        assert.deepEqual(digests.get(index), model.get(index)?.bytes ?? null)
        assert.deepEqual(digests.prefix(index), model.get(index)?.prefix ?? null)
      }
    }),
  )
})

test('a digest is copied in, so the caller may reuse its buffer', () => {
  const digests = new PieceDigests()
  const bytes = new Uint8Array(32).fill(7)
  digests.set(0, bytes, bytes)
  bytes.fill(9)
  assert.deepEqual(digests.get(0), new Uint8Array(32).fill(7))
  assert.deepEqual(digests.prefix(0), new Uint8Array(32).fill(7))
})

test('a digest of another length or a piece beyond the limit is a programmer’s error', () => {
  const digests = new PieceDigests()
  assert.throws(() => digests.set(0, new Uint8Array(31)))
  assert.throws(() => digests.set(0, new Uint8Array(32), new Uint8Array(33)))
  assert.throws(() => digests.set(-1, new Uint8Array(32)))
  assert.throws(() => digests.set(PIECE_COUNT_MAX, new Uint8Array(32)))
  digests.set(PIECE_COUNT_MAX - 1, new Uint8Array(32))
  assert.deepEqual([...digests.known()], [PIECE_COUNT_MAX - 1])
})
