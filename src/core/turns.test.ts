import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from './turns.ts'

test('actions of one key run one after another in order, those of other keys at once', async () => {
  const turns = new Turns<string>()
  const happened: string[] = []
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const first = turns.run('a', async () => {
    happened.push('a1 begins')
    await gate
    happened.push('a1 ends')
  })
  const second = turns.run('a', async () => void happened.push('a2'))
  await turns.run('b', async () => void happened.push('b'))
  assert.deepEqual(happened, ['a1 begins', 'b'])
  open()
  await Promise.all([first, second])
  assert.deepEqual(happened, ['a1 begins', 'b', 'a1 ends', 'a2'])
})

test('a failure reaches its caller and does not stop the next; idle keys are forgotten', async () => {
  const turns = new Turns<string>()
  const failing = turns.run('a', async () => {
    throw new Error('no')
  })
  const next = turns.run('a', async () => 'yes')
  await assert.rejects(failing, /no/)
  assert.equal(await next, 'yes')
  await turns.settled()
  await new Promise(setImmediate)
  assert.equal(turns.size, 0)
})
