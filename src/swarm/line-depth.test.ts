import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cheapDepth, LineDepth } from './line-depth.ts'

function depthAfter(
  elapsedMs: number,
  roundTripMs: number,
  swarm: { members: number; pieces: number },
): number {
  const depth = new LineDepth()
  for (let i = 0; i < 100; i++) depth.record(elapsedMs, roundTripMs)
  return depth.pieces(swarm)
}

test('a line that costs next to nothing is kept in any case', () => {
  const table: [members: number, pieces: number, depth: number][] = [
    [1, 256, 3],
    [8, 256, 3],
    [8, 64, 0],
    [500, 191, 0],
    [1023, 256, 0],
  ]
  for (const [members, pieces, expected] of table) assert.equal(cheapDepth({ members, pieces }), expected)
})

test('the line is as long as the news take, where that costs more than spreading later', () => {
  const table: [elapsedMs: number, roundTripMs: number, members: number, pieces: number, depth: number][] = [
    [84, 0.2, 255, 64, 0],
    [84, 0.2, 1023, 256, 0],
    [84, 20, 255, 64, 1],
    [30, 2, 255, 256, 1],
    [30, 0.1, 255, 256, 0],
    [10, 25, 255, 256, 6],
    [1, 100, 255, 256, 8],
  ]
  for (const [elapsedMs, roundTripMs, members, pieces, depth] of table) {
    assert.equal(
      depthAfter(elapsedMs, roundTripMs, { members, pieces }),
      depth,
      `${elapsedMs} ms, ${roundTripMs} ms`,
    )
  }
})
