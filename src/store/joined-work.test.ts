import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JoinedWork } from './joined-work.ts'

function watchedWork() {
  const runs: { signal: AbortSignal; end: PromiseWithResolvers<string> }[] = []
  const work = new JoinedWork(signal => {
    const end = Promise.withResolvers<string>()
    runs.push({ signal, end })
    return end.promise
  })
  return { runs, work }
}

test('work is done once for all who come before its end, and anew for who comes later', async () => {
  const { runs, work } = watchedWork()
  const both = [work.join(), work.join()]
  runs[0].end.resolve('done')
  assert.deepEqual(await Promise.all(both), ['done', 'done'])
  const late = work.join()
  runs[1].end.reject(new Error('not this time'))
  await assert.rejects(late, /not this time/)
  assert.equal(runs.length, 2)
})

test('work stops when the last who wants it has gone, and who comes then gets work of their own', async () => {
  const { runs, work } = watchedWork()
  const leavers = [new AbortController(), new AbortController()]
  const waits = leavers.map(({ signal }) => work.join(signal))
  leavers[0].abort(new Error('gone'))
  await assert.rejects(waits[0], /gone/)
  assert.equal(runs[0].signal.aborted, false)
  leavers[1].abort(new Error('gone'))
  await assert.rejects(waits[1], /gone/)
  assert.equal(runs[0].signal.aborted, true)
  const other = work.join()
  runs[0].end.reject(new Error('stopped'))
  runs[1].end.resolve('done')
  assert.equal(await other, 'done')
})

test('who has gone before starts nothing', async () => {
  const { runs, work } = watchedWork()
  await assert.rejects(work.join(AbortSignal.abort(new Error('gone'))), /gone/)
  assert.equal(runs.length, 0)
})
