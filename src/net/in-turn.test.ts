import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import { firstInTurn } from './in-turn.ts'

type Attempt = { resolve(won: string): void; reject(thrown: Error): void; signal: AbortSignal }

/** Attempts that end when the test says so; `began` has when each of them began. */
function scene(items: readonly string[], totalMs = 4_000) {
  const clock = new FakeClock()
  const ending = new AbortController()
  const attempts = new Map<string, Attempt>()
  const began: [string, number][] = []
  const failed: string[] = []
  const discarded: string[] = []
  const first = firstInTurn({
    items,
    attempt: (item, signal) => {
      began.push([item, clock.now()])
      return new Promise<string>((resolve, reject) => attempts.set(item, { resolve, reject, signal }))
    },
    headStartMs: index => (index === 0 ? 1_000 : 500),
    totalMs,
    clock,
    signal: ending.signal,
    onFailed: item => void failed.push(item),
    discard: won => void discarded.push(won),
  })
  return { clock, ending, attempts, began, failed, discarded, first }
}
const turn = () => new Promise(resolve => setImmediate(resolve))

describe('one after the other', () => {
  it('takes the first that succeeds, and begins no other', async () => {
    const { attempts, began, first, clock } = scene(['a', 'b'])
    attempts.get('a')!.resolve('A')
    assert.equal(await first, 'A')
    assert.deepEqual(began, [['a', 0]])
    assert.equal(clock.timerCount, 0)
  })

  it('begins the next at once behind one that fails, and after the head start of one that hangs', async () => {
    const { attempts, began, clock, failed } = scene(['a', 'b', 'c', 'd'])
    attempts.get('a')!.reject(new Error())
    await turn()
    assert.deepEqual(began, [
      ['a', 0],
      ['b', 0],
    ])
    clock.advance(499)
    assert.equal(began.length, 2)
    clock.advance(1)
    clock.advance(500)
    assert.deepEqual(
      began.map(([, at]) => at),
      [0, 0, 500, 1_000],
    )
    attempts.get('b')!.reject(new Error())
    await turn()
    assert.deepEqual([began.length, failed], [4, ['a', 'b']])
  })

  it('lets an earlier one win, ends the others, and gives back what comes too late', async () => {
    const { attempts, clock, discarded, first } = scene(['a', 'b'])
    clock.advance(1_000)
    attempts.get('a')!.resolve('A')
    assert.equal(await first, 'A')
    assert.equal(attempts.get('b')!.signal.aborted, true)
    attempts.get('b')!.resolve('B')
    await turn()
    assert.deepEqual(discarded, ['B'])
  })

  it('ends in vain when all have failed, when the time is over, and when it is aborted', async () => {
    const refused = scene(['a', 'b'])
    refused.attempts.get('a')!.reject(new Error())
    await turn()
    refused.attempts.get('b')!.reject(new Error())
    assert.equal(await refused.first, null)
    const late = scene(['a', 'b', 'c'], 1_200)
    late.clock.advance(1_200)
    assert.equal(await late.first, null)
    assert.deepEqual(late.began, [
      ['a', 0],
      ['b', 1_000],
    ])
    const aborted = scene(['a', 'b'])
    aborted.ending.abort()
    assert.equal(await aborted.first, null)
    assert.equal(await scene([]).first, null)
    for (const { clock } of [refused, late, aborted]) assert.equal(clock.timerCount, 0)
  })
})
