import assert from 'node:assert/strict'
import { appendFile, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { runLogFile } from '../src/peer/run-log.ts'
import { parseRecords, type RunRecord } from '../src/peer/run-record.ts'
import { residentStatus, runCli, stopResident } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'
import type { OriginServer } from './support/origin-server.ts'
import type { TestSystem } from './support/system.ts'

const MIB = 1024 ** 2

describe('dfget explain', () => {
  let origin: OriginServer
  let system: TestSystem
  let home: string
  before(async () => {
    ;({ origin, system, home } = await startDfgetWorld({ freshMs: 0 }))
  })
  after(() => stopDfgetWorld({ origin, system, home }))

  function download(url: string, flags: string[] = [], node = system.node) {
    const output = path.join(system.directory, 'output')
    const common = ['--home', home, '--ip', '127.0.0.1', '--json', '--config=']
    return runCli('dfget', ['-u', url, '-o', output, ...common, '--node', node, ...flags])
  }

  const explain = (...words: string[]) => runCli('dfget', ['explain', ...words, '--home', home, '--config='])
  const records = async () => parseRecords(await readFile(runLogFile(home), 'utf8'))

  async function lastRecord(): Promise<RunRecord> {
    const { status, stdout, stderr } = await explain('last', '--json')
    assert.equal(status, 0, stderr)
    return JSON.parse(stdout)
  }

  function assertWhole({ durationMs, timeMs }: RunRecord): void {
    assert.equal(
      Object.values(timeMs).reduce((sum, ms) => sum + ms, 0),
      durationMs,
    )
  }

  it('says that there is nothing yet', async () => {
    const listed = await explain()
    assert.deepEqual([listed.status, listed.stdout], [0, `no download is recorded in ${runLogFile(home)}\n`])
    const last = await explain('last')
    assert.equal(last.status, 1)
    assert.match(last.stderr, /no download is recorded in /)
  })

  it('tells of a download through the swarm: times that are the whole, the sources, and no credentials', async () => {
    const file = origin.serve('/file.bin', { lengthBytes: 5 * MIB + 7, seed: 3 })
    const peer = await system.startPeer()
    await system.download(peer, file.url)
    const signed = `${file.url.replace('//', '//me:pw@')}`
    const done = await download(file.url)
    assert.equal(done.status, 0, done.stdout)
    const record = await lastRecord()
    const { taskId, digest, seconds, bytes } = done.json()
    assert.deepEqual([record.taskId, record.lengthBytes, record.bytes], [taskId, 5 * MIB + 7, bytes])
    assert.ok(record.digest === null || record.digest === digest)
    assert.deepEqual([record.node, record.failure], [system.node, null])
    assertWhole(record)
    assert.ok(record.durationMs > 0 && record.durationMs <= Number(seconds) * 1000 + 1)
    const brought = record.sources.reduce((sum, source) => sum + source.bytes, 0)
    assert.equal(brought, 5 * MIB + 7)
    const [first] = record.sources
    assert.ok(first.receiveMs > 0 && first.receiveMs <= record.durationMs)
    const { stdout } = await explain(record.taskId.slice(0, 8))
    assert.ok(stdout.includes(`task       ${taskId}\n`))
    assert.match(stdout, /^ {2}transferring +\d+ ms +\d+% {2}#+$/m)
    assert.match(
      stdout,
      new RegExp(`^ {2}${first.address} +${first.kind} +\\S+ MiB +\\S+ MiB/s +\\d+ piece`, 'm'),
    )
    await download(`${signed}?token=hidden-word&mine=hidden-word`, [
      ...['--filter', 'mine', '--header', 'Authorization: Basic hidden-word'],
    ])
    assert.doesNotMatch(await readFile(runLogFile(home), 'utf8'), /hidden-word|me:pw/)
    assert.equal((await stat(runLogFile(home))).mode & 0o777, 0o600)
  })

  it('tells of the origin alone, with its failures and what they cost', async () => {
    const file = origin.serve('/torn.bin', {
      lengthBytes: 6 * MIB,
      bodyFault: { kind: 'reset', afterBytes: 2.5 * MIB, times: 1 },
    })
    const done = await download(file.url, [], '')
    assert.equal(done.status, 0, done.stdout)
    const record = await lastRecord()
    assertWhole(record)
    assert.deepEqual([record.node, record.bytes.origin, record.retryCount], [null, 6 * MIB, 1])
    assert.deepEqual([record.retries[0].source, record.retries[0].count], ['origin', 1])
    assert.ok(record.timeMs.backoff! > 0, JSON.stringify(record.timeMs))
    const { stdout } = await explain('last')
    assert.match(stdout, /^retries: 1\n {2}origin {2}1 × {2}ORIGIN_/m)
    assert.match(stdout, /^ {2}pausing before a retry /m)
  })

  it('tells of a download that failed, with its code and message', async () => {
    const done = await download(`${origin.serve('/gone', { refusal: { status: 404 } }).url}`)
    assert.equal(done.json().code, 'ORIGIN_NOT_FOUND')
    const record = await lastRecord()
    assertWhole(record)
    assert.equal(record.failure?.code, 'ORIGIN_NOT_FOUND')
    assert.equal(record.failure?.message, done.json().message)
    assert.match((await explain('last')).stdout, /^ended {6}ORIGIN_NOT_FOUND: .*\n {11}Check the URL/m)
  })

  it('needs no peer, passes damaged lines over, lists the newest ten, and names what is nearest', async () => {
    await stopResident(home)
    const [oldest] = await records()
    const another = { ...oldest, taskId: `${'0'.repeat(63)}a` }
    const alike = { ...oldest, taskId: `${'0'.repeat(63)}b`, startedAt: oldest.startedAt + 1 }
    const torn = JSON.stringify(oldest).slice(0, 80)
    const lines = [...Array.from({ length: 9 }, () => another), alike].map(line => JSON.stringify(line))
    await appendFile(runLogFile(home), `${torn}\n${lines.join('\n')}\n`)
    const listed = (await explain()).stdout.trimEnd().split('\n')
    assert.deepEqual([listed.length, listed[0].slice(0, 12)], [10, '0'.repeat(12)])
    assert.equal((await explain('--json')).stdout.trimEnd().split('\n').length, 10)
    assert.equal(JSON.parse((await explain(alike.taskId, '--json')).stdout).taskId, alike.taskId)
    assert.equal((await explain(oldest.taskId.slice(0, 10).toUpperCase())).status, 0)
    const several = await explain('00')
    assert.deepEqual([several.status, /begins the ids of several tasks/.test(several.stderr)], [1, true])
    const unknown = await explain(`${oldest.taskId.slice(0, 10)}zz`)
    assert.equal(unknown.status, 1)
    assert.ok(unknown.stderr.includes(`the nearest is ${oldest.taskId.slice(0, 12)}`), unknown.stderr)
    assert.equal(await residentStatus(home), null)
  })
})
