import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RunSources } from './run-sources.ts'

test('a source receives while at least one of its pieces comes, so that overlapping pieces count once', () => {
  const sources = new RunSources()
  sources.begin('a:1', 0)
  sources.begin('a:1', 50)
  sources.end('a:1', 100)
  sources.end('a:1', 150)
  sources.begin('a:1', 300)
  sources.end('a:1', 310)
  sources.brought('a:1', 'peer', 7)
  sources.brought('a:1', 'peer', 5)
  sources.begin('b:2', 300)
  sources.brought('b:2', 'supernode', 100)
  const { sources: list } = sources.summary(400)
  assert.deepEqual(list, [
    { address: 'b:2', kind: 'supernode', bytes: 100, pieces: 1, receiveMs: 100 },
    { address: 'a:1', kind: 'peer', bytes: 12, pieces: 2, receiveMs: 160 },
  ])
})

test('failures are counted by source and cause, the most frequent first', () => {
  const sources = new RunSources()
  sources.failed('a:1', 'SOURCE_GONE')
  for (let i = 0; i < 3; i++) sources.failed('b:2', 'SOURCE_SLOW')
  sources.failed('b:2', 'SOURCE_GONE')
  const { retries, retryCount } = sources.summary(0)
  assert.equal(retryCount, 5)
  assert.deepEqual(retries[0], { source: 'b:2', code: 'SOURCE_SLOW', count: 3 })
  assert.equal(retries.length, 3)
})

test('of a great swarm the sources that brought most are named, and the rest is counted', () => {
  const sources = new RunSources()
  for (let i = 1; i <= 100; i++) sources.brought(`host:${i}`, 'peer', i)
  const { sources: list, otherSources } = sources.summary(0)
  assert.deepEqual([list.length, list[0].address], [32, 'host:100'])
  const named = list.reduce((sum, { bytes }) => sum + bytes, 0)
  assert.deepEqual(otherSources, { count: 68, bytes: 5050 - named })
})
