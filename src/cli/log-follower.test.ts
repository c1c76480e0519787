import assert from 'node:assert/strict'
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { FakeClock } from '../../test/support/fake-clock.ts'
import { putLogAside } from './kept-log.ts'
import { followLog } from './log-follower.ts'

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-log-'))
  t.after(() => rm(directory, { recursive: true }))
  return path.join(directory, 'log')
}

test('only whole lines that came meanwhile are passed on, the last ones at the end', async t => {
  const file = await scratch(t)
  await writeFile(file, 'before\n')
  let said = ''
  const stop = await followLog(
    file,
    text => {
      said += text
    },
    new FakeClock(),
  )
  await appendFile(file, 'one\ntwo\nhal')
  await appendFile(file, 'f\n')
  await stop()
  assert.equal(said, 'one\ntwo\nhalf\n')
})

test('a log that begins anew is followed from there, and one that never comes says nothing', async t => {
  const file = await scratch(t)
  let said = ''
  const write = (text: string) => {
    said += text
  }
  await (await followLog(file, write, new FakeClock()))()
  await writeFile(file, 'a long line of before\n')
  const stop = await followLog(file, write, new FakeClock())
  await writeFile(file, 'new\n')
  await stop()
  assert.equal(said, 'new\n')
})

test('a log beyond its length is put aside, and so many are kept', async t => {
  const file = await scratch(t)
  const limits = { maxBytes: 3, backups: 2 }
  await putLogAside(file, limits)
  for (const text of ['one!', 'two!', 'three!', 'tw']) {
    await writeFile(file, text)
    await putLogAside(file, limits)
  }
  const names = (await readdir(path.dirname(file))).sort()
  assert.deepEqual(names, ['log', 'log.1', 'log.2'])
  assert.deepEqual(
    await Promise.all(names.map(name => readFile(path.join(path.dirname(file), name), 'utf8'))),
    ['tw', 'three!', 'two!'],
  )
  await putLogAside(file, { maxBytes: 1, backups: 0 })
  assert.deepEqual((await readdir(path.dirname(file))).sort(), ['log.1', 'log.2'])
})

test('a line cannot draw on the terminal, and a log that cannot be read ends nothing', async t => {
  const file = await scratch(t)
  const clock = new FakeClock()
  let said = ''
  const write = (text: string) => {
    said += text
  }
  const stop = await followLog(file, write, clock)
  await appendFile(file, '{"m":"\x1b[2J\x9b\r"}\nnext\n')
  await stop()
  assert.equal(said, '{"m":"?[2J??"}\nnext\n')
  await (await followLog(path.dirname(file), write, clock))()
})
