import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pace } from './pace.ts'

function paceOf(elapsedMs: number, roundTripMs: number): Pace {
  const pace = new Pace()
  for (let i = 0; i < 100; i++) pace.record(elapsedMs, roundTripMs)
  return pace
}

test('near by one piece at a time keeps a link busy, far away it takes more', () => {
  const table: [elapsedMs: number, roundTripMs: number, window: number][] = [
    [84, 0.2, 1],
    [94, 10, 1],
    [28, 20, 6],
    [41, 40, 8],
    [40, 40, 8],
  ]
  for (const [elapsedMs, roundTripMs, expected] of table) {
    assert.equal(
      paceOf(elapsedMs, roundTripMs).window(roundTripMs),
      expected,
      `${elapsedMs} ms, ${roundTripMs} ms`,
    )
  }
})

test('a line is kept where pieces abound and waiting for news costs more than spreading later', () => {
  const table: [elapsedMs: number, roundTripMs: number, lacking: number, line: number][] = [
    [84, 0.2, 200, 0],
    [35, 2, 15, 0],
    [35, 2, 16, 1],
    [94, 10, 31, 1],
    [94, 10, 32, 2],
    [41, 40, 200, 4],
  ]
  for (const [elapsedMs, roundTripMs, lacking, expected] of table) {
    const line = paceOf(elapsedMs, roundTripMs).line(roundTripMs, { members: 255, pieces: 256, lacking })
    assert.equal(line, expected, `${elapsedMs} ms, ${roundTripMs} ms, ${lacking} pieces`)
  }
})

test('before the first piece has come everybody is near', () => {
  const swarm = { members: 2, pieces: 256, lacking: 200 }
  assert.deepEqual([new Pace().window(100), new Pace().line(100, swarm)], [1, 0])
})
