import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import {
  choosePieceLength,
  isValidLayout,
  layoutFor,
  PIECE_COUNT_MAX,
  PIECE_LENGTH_MAX,
  PIECE_LENGTH_MIN,
  pieceBytes,
  pieceCount,
  pieceRange,
} from './piece-layout.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const TIB = 1024 * GIB

const lengthUpTo = (max: number) => fc.maxSafeNat().map(n => n % (max + 1))

test('a piece length is a power of two from 1 to 64 MiB', () => {
  fc.assert(
    fc.property(lengthUpTo(8 * TIB), lengthBytes => {
      const pieceLength = choosePieceLength(lengthBytes)
      assert.ok(Number.isInteger(Math.log2(pieceLength)))
      assert.ok(pieceLength >= PIECE_LENGTH_MIN && pieceLength <= PIECE_LENGTH_MAX)
    }),
  )
})

test('up to 16 GiB there are at most 1024 pieces of at most 16 MiB', () => {
  fc.assert(
    fc.property(lengthUpTo(16 * GIB), lengthBytes => {
      const layout = layoutFor(lengthBytes)
      assert.ok(pieceCount(layout) <= 1024)
      assert.ok(layout.pieceLength <= 16 * MIB)
    }),
  )
})

test('a piece is no longer than the count demands', () => {
  fc.assert(
    fc.property(lengthUpTo(64 * GIB), lengthBytes => {
      const { pieceLength } = layoutFor(lengthBytes)
      const enough = pieceLength <= 4 * MIB ? 256 : 1024
      assert.ok(pieceLength === PIECE_LENGTH_MIN || lengthBytes > (pieceLength / 2) * enough)
    }),
  )
})

test('the piece length changes just behind its boundary', () => {
  const table: [lengthBytes: number, pieceLength: number, pieces: number][] = [
    [0, MIB, 0],
    [1, MIB, 1],
    [MIB - 1, MIB, 1],
    [MIB, MIB, 1],
    [MIB + 1, MIB, 2],
    [256 * MIB, MIB, 256],
    [256 * MIB + 1, 2 * MIB, 129],
    [GIB, 4 * MIB, 256],
    [4 * GIB, 4 * MIB, 1024],
    [4 * GIB + 1, 8 * MIB, 513],
    [16 * GIB, 16 * MIB, 1024],
    [16 * GIB + 1, 32 * MIB, 513],
    [64 * GIB, 64 * MIB, 1024],
    [64 * GIB + 1, 64 * MIB, 1025],
    [4 * TIB, 64 * MIB, PIECE_COUNT_MAX],
  ]
  for (const [lengthBytes, pieceLength, pieces] of table) {
    const layout = layoutFor(lengthBytes)
    assert.deepEqual([layout.pieceLength, pieceCount(layout)], [pieceLength, pieces], `${lengthBytes} bytes`)
  }
})

test('the pieces tile the file exactly', () => {
  fc.assert(
    fc.property(lengthUpTo(3 * GIB), lengthBytes => {
      const layout = layoutFor(lengthBytes)
      let position = 0
      for (let index = 0; index < pieceCount(layout); index++) {
        const { start, end } = pieceRange(layout, index)
        assert.equal(start, position)
        assert.ok(end > start)
        assert.equal(pieceBytes(layout, index), end - start)
        position = end
      }
      assert.equal(position, lengthBytes)
    }),
  )
})

test('there is no piece before the first or behind the last', () => {
  const layout = layoutFor(2 * MIB)
  assert.throws(() => pieceRange(layout, 2))
  assert.throws(() => pieceRange(layout, -1))
  assert.throws(() => pieceRange(layoutFor(0), 0))
})

test('content of unknown length has whole pieces of 4 MiB and no count', () => {
  const layout = layoutFor(null)
  assert.deepEqual(pieceRange(layout, 3), { start: 12 * MIB, end: 16 * MIB })
  assert.throws(() => pieceCount(layout))
})

test('every layout that is chosen up to 4 TiB is a valid one', () => {
  fc.assert(
    fc.property(fc.option(lengthUpTo(4 * TIB)), lengthBytes => {
      const layout = layoutFor(lengthBytes)
      assert.ok(isValidLayout(layout.lengthBytes, layout.pieceLength))
    }),
  )
})

test('a layout that no honest side would send is rejected', () => {
  const table: [lengthBytes: unknown, pieceLength: unknown][] = [
    [-1, MIB],
    [1.5, MIB],
    [Number.NaN, MIB],
    [Number.POSITIVE_INFINITY, MIB],
    [2 ** 53, MIB],
    ['100', MIB],
    [undefined, MIB],
    [100, 0],
    [100, -MIB],
    [100, 1.5],
    [100, PIECE_LENGTH_MAX + 1],
    [100, Number.NaN],
    [100, null],
    [MIB * PIECE_COUNT_MAX + 1, MIB],
  ]
  for (const [lengthBytes, pieceLength] of table) {
    assert.equal(isValidLayout(lengthBytes, pieceLength), false, `${lengthBytes} / ${pieceLength}`)
  }
})
