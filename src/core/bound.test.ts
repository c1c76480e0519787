import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { fluidBoundSeconds, pieceBoundSeconds } from './bound.ts'

test('N equal peers and k pieces need k + ⌊log2 N⌋ piece-times', () => {
  const table: [peers: number, pieces: number, pieceTimes: number][] = [
    [0, 8, 8],
    [1, 8, 8],
    [2, 8, 9],
    [3, 8, 9],
    [4, 8, 10],
    [1023, 100, 109],
    [1024, 100, 110],
  ]
  for (const [peers, pieces, pieceTimes] of table) {
    const seconds = pieceBoundSeconds({ peers, pieces, pieceLength: 1000, rateBytesPerSecond: 500 })
    assert.equal(seconds, pieceTimes * 2, `${peers} peers, ${pieces} pieces`)
  }
})

test('the fluid bound is set by whichever is scarcest: the seed, the slowest download, or the upload of all', () => {
  const bound = (seedUpload: number, uploads: number[], downloads: number[]) =>
    fluidBoundSeconds({ lengthBytes: 1000, seedUpload, uploads, downloads })
  assert.equal(bound(10, [1000, 1000], [1000, 1000]), 100)
  assert.equal(bound(1000, [1000, 1000], [1000, 20]), 50)
  assert.equal(bound(100, [0, 0, 0], [1000, 1000, 1000]), 30)
})

test('more upload never makes the fluid bound worse', () => {
  const rate = fc.integer({ min: 1, max: 1_000_000 })
  fc.assert(
    fc.property(rate, fc.array(rate, { minLength: 1 }), rate, (seedUpload, uploads, extra) => {
      const swarm = { lengthBytes: 1_000_000, seedUpload, uploads, downloads: uploads }
      const helped = { ...swarm, uploads: uploads.map(upload => upload + extra) }
      assert.ok(fluidBoundSeconds(helped) <= fluidBoundSeconds(swarm))
    }),
  )
})

test('the fluid bound takes a swarm of half a million peers', () => {
  const rates = new Array<number>(500_000).fill(1)
  const seconds = fluidBoundSeconds({ lengthBytes: 10, seedUpload: 1, uploads: rates, downloads: rates })
  assert.equal(seconds, 10)
})
