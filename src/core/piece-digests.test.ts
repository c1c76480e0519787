import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { PieceDigests } from './piece-digests.ts'
import { PIECE_COUNT_MAX } from './piece-layout.ts'

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 })

test('digests by piece behave like a map from index to 32 bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(300), digest)), entries => {
      const digests = new PieceDigests()
      const model = new Map<number, Uint8Array>()
      for (const [index, bytes] of entries) {
        digests.set(index, bytes)
        model.set(index, bytes)
        assert.equal(digests.count, model.size)
      }
      assert.deepEqual(
        [...digests.known()],
        [...model.keys()].sort((a, b) => a - b),
      )
      for (let index = 0; index <= 301; index++) {
        assert.equal(digests.has(index), model.has(index))
        assert.deepEqual(digests.get(index), model.get(index) ?? null)
      }
    }),
  )
})

test('a digest is copied in, so the caller may reuse its buffer', () => {
  const digests = new PieceDigests()
  const bytes = new Uint8Array(32).fill(7)
  digests.set(0, bytes)
  bytes.fill(9)
  assert.deepEqual(digests.get(0), new Uint8Array(32).fill(7))
})

test('a digest of another length or a piece beyond the limit is a programmer’s error', () => {
  const digests = new PieceDigests()
  assert.throws(() => digests.set(0, new Uint8Array(31)))
  assert.throws(() => digests.set(-1, new Uint8Array(32)))
  assert.throws(() => digests.set(PIECE_COUNT_MAX, new Uint8Array(32)))
  digests.set(PIECE_COUNT_MAX - 1, new Uint8Array(32))
  assert.deepEqual([...digests.known()], [PIECE_COUNT_MAX - 1])
})
