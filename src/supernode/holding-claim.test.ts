import assert from 'node:assert/strict'
import { test } from 'node:test'
import { announcement } from '../../test/support/control-peer.ts'
import { Bitmap } from '../core/bitmap.ts'
import type { Generation } from '../core/generation.ts'
import { claimsWhole, firstLackedByte } from './holding-claim.ts'

const PIECE = 1024 * 1024

function announce(held: readonly number[], lengthBytes: number | null = 4 * PIECE) {
  const bitmap = new Bitmap(4)
  for (const piece of held) bitmap.add(piece)
  return {
    ...announcement({ url: 'http://host/file' }),
    generation: 'g' as Generation,
    lengthBytes,
    pieceLength: PIECE,
    held: bitmap.encode(),
  }
}

test('what a peer lacks first is said by its bitmap, and nothing where it holds nothing or everything', () => {
  const table: readonly [readonly number[], number | null, boolean][] = [
    [[], null, false],
    [[0, 1], 2 * PIECE, false],
    [[0, 1, 3], 2 * PIECE, false],
    [[1, 2], 0, false],
    [[0, 1, 2, 3], null, true],
  ]
  for (const [held, byte, isWhole] of table) {
    assert.equal(firstLackedByte(announce(held)), byte, `${held}`)
    assert.equal(claimsWhole(announce(held)), isWhole, `${held}`)
  }
})

test('a peer that does not say of how much it holds pieces has said nothing', () => {
  const claims = [
    announce([0], null),
    { ...announce([0]), generation: null },
    { ...announce([0]), pieceLength: 7 },
  ]
  for (const claim of claims) {
    assert.equal(firstLackedByte(claim), null)
    assert.equal(claimsWhole(claim), false)
  }
})
