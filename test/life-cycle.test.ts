import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import type { Clock } from '../src/core/clock.ts'
import { announcement, ControlPeer } from './support/control-peer.ts'
import { type KeptLog, keptLog } from './support/kept-log.ts'
import { MovedClock } from './support/moved-clock.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { openDescriptorsBelow } from './support/store-fixture.ts'
import { startSystem, type TestSystem } from './support/system.ts'

const MIB = 1024 * 1024
/** Far less than the downloads and the time-outs here take, and far more than an end does on a busy machine. */
const PROMPT_MS = 10_000
/** Who waits for what never comes fails. */
const TEST = { timeout: 60_000 }
const SRC = path.join(import.meta.dirname, '../src')

const unhandled: unknown[] = []
const note = (thrown: unknown) => void unhandled.push(thrown)
before(() => process.on('unhandledRejection', note))
after(() => {
  process.off('unhandledRejection', note)
  assert.deepEqual(unhandled, [])
})

describe('a system that stops', () => {
  let origin: OriginServer
  let system: TestSystem
  let log: KeptLog
  const moved = new MovedClock()
  let isStill = false
  const clock: Clock = {
    now: () => moved.now(),
    wallNow: () => moved.wallNow(),
    schedule: (delayMs, action) =>
      moved.schedule(delayMs, () => {
        if (!isStill) action()
      }),
  }
  beforeEach(async () => {
    origin = await startOriginServer()
    log = keptLog()
    system = await startSystem({ clock, log })
  })
  afterEach(async () => {
    await system.stop()
    await origin.close()
    assert.equal(await openDescriptorsBelow(system.directory), 0)
    assert.equal(origin.connections, 0)
    for (let turn = 0; turn < 1_000 && moved.timerCount > 0; turn++) await new Promise(setImmediate)
    assert.equal(moved.timerCount, 0, 'no timer is left behind')
  })

  /** No timer does anything meanwhile: what waits for time to pass would wait for ever. */
  const atOnce = async (stop: () => Promise<void>) => {
    isStill = true
    await stop()
    isStill = false
  }

  it('does so at once in the middle of downloads, at every stage of them', TEST, async () => {
    const usual = { lengthBytes: 64 * MIB }
    const files = [
      origin.serve('/running', { ...usual, rateBytesPerSecond: 4 * MIB }),
      origin.serve('/chunked', { ...usual, rateBytesPerSecond: 4 * MIB, framing: 'chunked' }),
      origin.serve('/stalled', { ...usual, bodyFault: { kind: 'stall', afterBytes: 5 * MIB } }),
      origin.serve('/silent', { ...usual, headFault: 'silent' }),
      origin.serve('/small-and-slow', { lengthBytes: 60_000, rateBytesPerSecond: 1_000 }),
      origin.serve('/private', { ...usual, rateBytesPerSecond: 4 * MIB, authorization: 'a' }),
    ]
    const peers = [await system.startPeer({ clock }), await system.startPeer({ clock })]
    const ends = peers.flatMap(peer =>
      files.map(file => {
        const headers: [string, string][] = file.path === '/private' ? [['Authorization', 'a']] : []
        return system.download(peer, file.url, { headers }).catch(() => {})
      }),
    )
    await origin.when(
      ({ bodyBytesSent, requests }) => bodyBytesSent > 8 * MIB && requests.length >= files.length,
    )
    files[5].set({ headFault: 'silent' })
    const asker = await ControlPeer.greeted(system.node)
    asker.send(announcement({ url: files[5].url, headers: [['Authorization', 'b']] }))
    const count = origin.requestCount()
    await origin.when(
      ({ requests }) => requests.length > count || requests.at(-1)?.headers.authorization === 'b',
    )
    await atOnce(() => system.stopSupernode())
    await atOnce(async () => {
      await Promise.all(peers.map(peer => peer.stop()))
    })
    await Promise.all(ends)
    asker.socket.terminate()
  })

  it('does so in the very moment in which it is asked for something', TEST, async () => {
    const file = origin.serve('/file', { lengthBytes: 8 * MIB })
    const peer = await system.startPeer({ clock })
    const ends = [0, 1, 2].map(i => system.download(peer, `${file.url}?${i}`).catch(() => {}))
    const asker = await ControlPeer.greeted(system.node)
    for (let i = 0; i < 5; i++) asker.send(announcement({ url: `${file.url}?${i}` }))
    await atOnce(async () => {
      await Promise.all([system.stopSupernode(), peer.stop()])
    })
    await Promise.all(ends)
    asker.socket.terminate()
  })

  it('has let go of tasks that nobody is a member of, and has them again when they are wanted', async () => {
    const file = origin.serve('/file', { lengthBytes: 3 * MIB })
    const home = path.join(system.directory, 'supernode')
    const first = await ControlPeer.greeted(system.node)
    assert.equal((await first.announce(announcement(file))).type, 'layout')
    const isComplete = () => log.lines.some(line => line.message === 'task complete at cdn')
    while (!isComplete()) await new Promise(setImmediate)
    const status = async () =>
      (await (await fetch(`http://${system.node}/`)).json()) as Record<string, number>
    const tasks = async () => (await status()).tasks
    moved.moveOn(60_000)
    moved.moveOn(60_000)
    assert.equal(await tasks(), 1, 'it has a member')
    first.socket.terminate()
    while ((await status()).peers > 0) await new Promise(setImmediate)
    moved.moveOn(60_000)
    assert.equal(await tasks(), 1, 'somebody may come soon')
    moved.moveOn(60_000)
    assert.equal(await tasks(), 0)
    assert.equal(await openDescriptorsBelow(home), 0)
    const { bytes } = await system.download(await system.startPeer(), file.url)
    assert.equal(bytes.origin, 0)
    assert.equal(file.bodyBytesSent, 3 * MIB)
  })

  it('has closed the files of downloads that were given up', async () => {
    const file = origin.serve('/file', { lengthBytes: 8 * MIB, rateBytesPerSecond: 4 * MIB })
    const peer = await system.startPeer()
    const home = path.join(system.directory, 'peer-1')
    const { run, release } = await system.begin(peer, file.url)
    while (run.snapshot().heldBytes === 0) await new Promise(setImmediate)
    release()
    await assert.rejects(run.done, { code: 'CANCELLED' })
    assert.equal(await openDescriptorsBelow(path.join(home, 'data')), 0)
    file.set({ rateBytesPerSecond: null })
    const { bytes } = await system.download(peer, file.url)
    assert.ok(bytes.local > 0, 'what was verified is kept')
  })
})

describe('the resident peer’s process', () => {
  let home: string
  let origin: OriginServer
  let system: TestSystem
  before(async () => {
    origin = await startOriginServer()
    system = await startSystem()
  })
  after(async () => {
    await system.stop()
    await origin.close()
  })
  beforeEach(() => {
    home = mkdtempSync(path.join(os.tmpdir(), 'dragonfly-process-'))
  })
  afterEach(() => rmSync(home, { recursive: true }))

  const start = async (aliveMs?: number): Promise<ChildProcess> => {
    const program = path.join(SRC, 'cli/dfget.ts')
    const flags = ['--config=', '--home', home, '--ip', '127.0.0.1']
    const alive = aliveMs === undefined ? [] : ['--alivetime', `${aliveMs}ms`]
    const child = spawn(process.execPath, [program, 'server', ...flags, ...alive], {
      stdio: ['ignore', 'ignore', 2, 'pipe'],
    })
    const [ready] = await once(child.stdio[3] as NodeJS.ReadableStream, 'data')
    assert.equal(JSON.parse(String(ready)).code, 'OK')
    return child
  }
  const ask = (method: string, at: string, body?: object) =>
    new Promise<number>((resolve, reject) => {
      const outgoing = request(
        { socketPath: path.join(home, 'meta/peer.sock'), method, path: at },
        answer => {
          answer.on('error', () => {}).resume()
          resolve(answer.statusCode ?? 0)
        },
      )
      outgoing.on('error', reject)
      outgoing.end(body && JSON.stringify(body))
    })
  /** Waits for it to end by itself, and returns its exit status and how long that took. */
  const endOf = async (child: ChildProcess): Promise<number> => {
    const startedAt = performance.now()
    const [status, signal] = await once(child, 'exit')
    assert.deepEqual([status, signal], [0, null])
    return performance.now() - startedAt
  }
  const reason = () => {
    const lines = readFileSync(path.join(home, 'logs/dfclient.log'), 'utf8').trim().split('\n')
    return lines.map(line => JSON.parse(line)).find(line => line.msg === 'peer stops')?.reason
  }

  const STOPS: [string, string, (child: ChildProcess) => void][] = [
    ['POST /stop', 'asked to', () => void ask('POST', '/stop')],
    ['SIGTERM', 'SIGTERM', child => void child.kill('SIGTERM')],
    ['SIGINT', 'SIGINT', child => void child.kill('SIGINT')],
  ]
  for (const [name, said, stop] of STOPS) {
    it(`ends promptly on ${name}, in the middle of downloads too`, async t => {
      const child = await start()
      t.after(() => child.kill('SIGKILL'))
      const slow = origin.serve(`/slow/${said.replace(' ', '-')}`, {
        lengthBytes: 64 * MIB,
        rateBytesPerSecond: 4 * MIB,
      })
      const whole = origin.serve(`/whole/${said.replace(' ', '-')}`, { lengthBytes: 2 * MIB })
      const alone = origin.serve(`/alone/${said.replace(' ', '-')}`, {
        lengthBytes: 64 * MIB,
        headFault: 'silent',
      })
      for (const [file, nodes] of [
        [slow, [system.node]],
        [whole, [system.node]],
        [alone, ['127.0.0.1:1']],
      ] as const) {
        const asked = { url: file.url, headers: [], name: 'f', tag: '', digest: null, nodes }
        assert.equal(await ask('POST', '/downloads', asked), 200)
      }
      await origin.when(() => slow.bodyBytesSent > 2 * MIB && alone.requests.length > 0)
      const ended = endOf(child)
      stop(child)
      assert.ok((await ended) < PROMPT_MS)
      assert.equal(reason(), said)
    })
  }

  it('ends by itself when it has had nothing to do for long enough', async () => {
    const child = await start(300)
    assert.ok((await endOf(child)) < PROMPT_MS)
    assert.equal(reason(), 'idle')
  })
})
