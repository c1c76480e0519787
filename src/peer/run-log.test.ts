import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryDirectory } from '../../test/support/store-fixture.ts'
import { silentLog } from '../ops/log.ts'
import { RunLog, runLogFile } from './run-log.ts'
import { parseRecords } from './run-record.ts'

function openRunLog(t: TestContext, warned: string[] = []): { file: string; open: () => RunLog } {
  const home = temporaryDirectory(t)
  mkdirSync(path.join(home, 'meta'))
  const file = runLogFile(home)
  const open = () => {
    const log = new RunLog(file, { ...silentLog, warn: (_, message) => void warned.push(message) })
    t.after(() => log.close())
    return log
  }
  return { file, open }
}

const linesOf = (file: string) => readFileSync(file, 'utf8').trimEnd().split('\n')

test('a record is there when it was appended, for this account alone', t => {
  const { file, open } = openRunLog(t)
  open().append(() => ({ n: 1 }))
  open().append(() => ({ n: 2 }))
  assert.deepEqual(linesOf(file), ['{"n":1}', '{"n":2}'])
  assert.equal(statSync(file).mode & 0o777, 0o600)
})

test('what was appended after a torn line stands in a line of its own', t => {
  const { file, open } = openRunLog(t)
  writeFileSync(file, '{"n":1}\n{"n":')
  open().append(() => ({ n: 3 }))
  assert.deepEqual(linesOf(file), ['{"n":1}', '{"n":', '{"n":3}'])
})

test('when there are more than four MiB the newest two stay, in whole lines', t => {
  const { file, open } = openRunLog(t)
  writeFileSync(file, `${'{"n":0}\n'.repeat(2_000)}{"n":`)
  const log = open()
  const long = 'x'.repeat(60_000)
  for (let n = 1; n <= 80; n++) {
    log.append(() => ({ n, long }))
    assert.ok(statSync(file).size <= 4 * 1024 ** 2)
    if (n === 60) assert.equal(linesOf(file).length, 2_061, 'however many lines that is')
  }
  const left = linesOf(file).map(line => JSON.parse(line).n)
  assert.deepEqual([left[0], left.at(-1), left.length], [37, 80, 44])
  assert.deepEqual(readdirSync(path.dirname(file)), ['downloads.jsonl'])
})

test('a line that alone is longer than may stay leaves nothing', t => {
  const { file, open } = openRunLog(t)
  open().append(() => ({ long: 'x'.repeat(4 * 1024 ** 2) }))
  assert.equal(statSync(file).size, 0)
})

test('a file that cannot be written is logged and throws nothing', t => {
  const warned: string[] = []
  const { file, open } = openRunLog(t, warned)
  symlinkSync('/dev/full', file)
  open().append(() => ({ n: 1 }))
  open().append(() => {
    throw new Error('nothing to write')
  })
  assert.deepEqual(warned, ['record of a download not written', 'record of a download not written'])
})

test('damaged lines, and those of another version, are passed over', t => {
  const { file } = openRunLog(t)
  const whole = {
    v: 1,
    taskId: 'a'.repeat(64),
    url: 'http://origin.test/file',
    name: 'file',
    startedAt: 1,
    durationMs: 10,
    timeMs: { transfer: 10 },
    node: null,
    lengthBytes: 1,
    digest: null,
    failure: null,
    bytes: { origin: 1, supernode: 0, peers: 0, local: 0 },
    sources: [],
    otherSources: { count: 0, bytes: 0 },
    retries: [],
    retryCount: 0,
  }
  const line = JSON.stringify(whole)
  appendFileSync(file, `${line}\n${line.slice(0, 50)}\n\0\0\0\n`)
  appendFileSync(file, `${JSON.stringify({ ...whole, v: 2 })}\n${JSON.stringify({ ...whole, timeMs: 3 })}\n`)
  appendFileSync(file, `${JSON.stringify({ ...whole, failure: { code: 'NONE', message: '' } })}\n[]\n${line}`)
  assert.deepEqual(parseRecords(readFileSync(file, 'utf8')), [whole, whole])
})
