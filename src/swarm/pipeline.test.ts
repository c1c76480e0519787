import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pipeline } from './pipeline.ts'

function pipelineOf(elapsedMs: number, roundTripMs: number): Pipeline {
  const pipeline = new Pipeline()
  for (let i = 0; i < 100; i++) pipeline.record(elapsedMs, roundTripMs)
  return pipeline
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
      pipelineOf(elapsedMs, roundTripMs).window(roundTripMs),
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
    const line = pipelineOf(elapsedMs, roundTripMs).line(roundTripMs, { members: 255, pieces: 256, lacking })
    assert.equal(line, expected, `${elapsedMs} ms, ${roundTripMs} ms, ${lacking} pieces`)
  }
})

test('before the first piece has come everybody is near', () => {
  const swarm = { members: 2, pieces: 256, lacking: 200 }
  assert.deepEqual([new Pipeline().window(100), new Pipeline().line(100, swarm)], [1, 0])
})
