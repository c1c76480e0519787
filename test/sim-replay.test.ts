import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { RecordingReader } from '../sim/recording.ts'
import { runCli } from './support/cli-run.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { startSystem, type TestSystem } from './support/system.ts'

/** What a real supernode recorded runs again in the simulator. */

const MIB = 1024 ** 2
const PEERS = 4
const PIECES = 12
const SECRET = 'Bearer this-must-stay-secret'

let origin: OriginServer
let system: TestSystem
let file: string
let recorded: string
before(async () => {
  origin = await startOriginServer()
  system = await startSystem()
  file = path.join(system.directory, 'events.jsonl')
  await system.restartSupernode({ recordFile: file })
  const served = origin.serve('/secret-path/name.bin', { lengthBytes: PIECES * MIB - 5, seed: 3 })
  const peers = await Promise.all(Array.from({ length: PEERS }, () => system.startPeer()))
  const headers: [string, string][] = [['Authorization', SECRET]]
  await Promise.all(peers.map(peer => system.download(peer, `${served.url}?key=hidden`, { headers })))
  await system.heardAll()
  await system.stopSupernode()
  recorded = await readFile(file, 'utf8')
})
after(async () => {
  await system.stop()
  await origin.close()
})

const replay = (name: string, ...flags: string[]) => runCli('dragonfly', ['sim', '--replay', name, ...flags])

async function write(name: string, content: string): Promise<string> {
  const at = path.join(system.directory, name)
  await writeFile(at, content)
  return at
}

describe('supernode --record', () => {
  it('has every arrival, piece and report', () => {
    const events = recorded
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    const of = (kind: string) => events.filter(({ e }) => e === kind)
    assert.deepEqual([events[0].e, events[0].format], ['start', 1])
    assert.equal(of('swarm').length, 1)
    assert.equal(of('join').length, PEERS)
    assert.equal(of('offer').flatMap(({ pieces }) => pieces).length, PIECES)
    const done = of('report').reduce((sum, { done }) => sum + done.length / 3, 0)
    assert.equal(done, PEERS * PIECES)
    assert.ok(of('assign').reduce((sum, { pieces }) => sum + pieces.length / 2, 0) >= PEERS * PIECES)
    const times = events.map(({ t }) => t)
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    )
  })

  it('tells nothing of URLs, headers, tokens, addresses or names', () => {
    for (const word of [
      SECRET,
      'secret',
      'hidden',
      'http',
      'name.bin',
      '127.0.0',
      'Authorization',
      'token',
      system.directory,
    ]) {
      assert.ok(!recorded.includes(word), word)
    }
    const words = new Set(recorded.match(/[A-Za-z_]{3,}/g))
    for (const [taskId] of recorded.matchAll(/[0-9a-f]{64}/g))
      for (const part of taskId.match(/[a-f]{3,}/g) ?? []) words.delete(part)
    const known = [
      'alpha',
      'start',
      'swarm',
      'offer',
      'join',
      'report',
      'leave',
      'assign',
      'end',
      'format',
      'supernode',
    ]
    const fields = [
      'seedSlots',
      'window',
      'taskId',
      'lengthBytes',
      'pieceLength',
      'pieces',
      'host',
      'zone',
      'slots',
      'held',
      'bitmap',
      'lookAhead',
      'readFrom',
      'isSeedOnly',
    ]
    const lists = ['done', 'failed', 'released', 'slow', 'fromOrigin', 'null', 'true', 'false', 'seal']
    assert.deepEqual(
      [...words].filter(word => ![...known, ...fields, ...lists].includes(word) && !/^[a-f]+$/.test(word)),
      [],
    )
  })

  it('a file that cannot be written is an error at the start', async () => {
    const nowhere = path.join(system.directory, 'no', 'such', 'directory')
    const ended = await runCli('supernode', [
      '--home-dir',
      path.join(system.directory, 'other'),
      '--port',
      '0',
      '--download-port',
      '0',
      '--record',
      nowhere,
    ])
    assert.equal(ended.status, 1)
    assert.match(ended.stderr, /OUTPUT_INVALID: .*cannot be written/)
  })
})

describe('dragonfly sim --replay', () => {
  it('runs the same peers and pieces to the end', async () => {
    const ended = await replay(file, '--json')
    assert.equal(ended.status, 0, ended.stderr)
    const { recorded: before, results } = ended.json() as {
      recorded: Record<string, unknown>
      results: Record<string, unknown>[]
    }
    assert.deepEqual([before.peers, before.pieces, before.finished], [PEERS, PIECES, PEERS])
    for (const { peers, pieces, finished } of results)
      assert.deepEqual([peers, pieces, finished], [PEERS, PIECES, PEERS])
    assert.ok(Number(before.lastSeconds) > 0 && Number(results[0].lastSeconds) > 0)
    assert.equal((await replay(file, '--json')).stdout, ended.stdout)
  })

  it('shows the recorded times beside the simulated ones', async () => {
    const { stdout } = await replay(file)
    assert.match(stdout, /^recorded +\d+\.\d+ s +\d+\.\d+ s$/m)
  })

  it('what is no recording is a clear error', () => {
    const [head, ...rest] = recorded.split('\n')
    const table: [lines: string[], says: RegExp][] = [
      [[], /lacks the first line/],
      [['hello'], /line 1 .*not JSON/],
      [['{"a":1}'], /line 1 .*no event/],
      [rest, /lacks the first line/],
      [[head], /nobody downloads anything/],
      [[head.replace('"format":1', '"format":2')], /format 2, this version reads 1/],
      [[head, rest[0].slice(0, -9), rest[1]], /line 2 .*not JSON/],
      [[head, rest[0], '{"e":"join","t":1,"s":1,"host":"x"}'], /line 3 .*no event/],
      [[head, rest[1]], /swarm 1 has not begun/],
    ]
    for (const [lines, says] of table) {
      const read = () => {
        const reader = new RecordingReader()
        for (const line of lines) reader.add(line)
        reader.largest()
      }
      assert.throws(read, { code: 'USAGE', message: says })
    }
  })

  it('a file that is none is a usage error', async () => {
    const missing = await replay(path.join(system.directory, 'nothing-here'))
    assert.match(missing.stderr, /USAGE: .*cannot be read/)
    const ended = await replay(await write('text', 'hello\nyou\n'), '--json')
    assert.equal(ended.status, 1)
    assert.match(ended.stderr, /USAGE: line 1 of the recording is damaged/)
  })

  it('a line that a crash cut off is passed over', () => {
    const reader = new RecordingReader()
    const cut = recorded.slice(0, recorded.lastIndexOf('"t"'))
    for (const line of `${cut}\n\n${cut}`.split('\n')) reader.add(line)
    assert.equal(reader.swarms.length, 2)
    assert.equal(reader.largest().hosts.size, PEERS)
  })

  it('what the recording says is not asked of flags', async () => {
    const ended = await replay(file, '--peers', '7')
    assert.match(ended.stderr, /--peers does not go with --replay/)
  })
})
