import assert from 'node:assert/strict'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { MovedClock } from '../../test/support/moved-clock.ts'
import { type OriginServer, type ServedFile, startOriginServer } from '../../test/support/origin-server.ts'
import { startSystem, type TestSystem } from '../../test/support/system.ts'
import { silentLog } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { LocalEvent, PeerStatus } from '../wire/local.ts'
import { startLocalServer } from './local-server.ts'
import type { Peer } from './peer.ts'

const MIB = 1024 * 1024
const LENGTH = 3 * MIB

describe('the socket between the commands and their peer', () => {
  let origin: OriginServer
  let file: ServedFile
  let system: TestSystem
  let peer: Peer
  let socketPath: string
  let close: () => Promise<void>
  let stops = 0
  beforeEach(async () => {
    stops = 0
    origin = await startOriginServer()
    file = origin.serve('/file', { lengthBytes: LENGTH })
    system = await startSystem()
    peer = await system.startPeer()
    socketPath = path.join(system.directory, 'peer.sock')
    close = await startLocalServer({
      peer,
      socketPath,
      clock: systemClock,
      log: silentLog,
      onStop: () => void stops++,
    })
  })
  afterEach(async () => {
    await close()
    await system.stop()
    await origin.close()
  })

  const ask = (method: string, at: string, body?: unknown): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const outgoing = request({ socketPath, method, path: at, agent: false }, resolve)
      outgoing.once('error', reject)
      outgoing.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body))
    })
  const jsonOf = async (answer: IncomingMessage) => {
    let text = ''
    for await (const part of answer) text += part
    return JSON.parse(text) as Record<string, unknown>
  }
  const wanted = (changes: object = {}) => ({
    url: file.url,
    headers: [],
    name: 'file',
    tag: '',
    digest: null,
    nodes: [system.node],
    ...changes,
  })
  /** The events of an answer, until one of the given kind has come. */
  const until = async (answer: IncomingMessage, kind: LocalEvent['event']): Promise<LocalEvent[]> => {
    const events: LocalEvent[] = []
    const lines = createInterface({ input: answer })
    for await (const line of lines) {
      events.push(JSON.parse(line))
      if (events.at(-1)?.event === kind) break
    }
    return events
  }

  it('lets in the account only', () => {
    assert.equal(statSync(socketPath).mode & 0o777, 0o600)
  })

  it('refuses a request that is not exactly one, and starts nothing for it', async () => {
    const bad: unknown[] = [
      '',
      'not json',
      '[]',
      {},
      wanted({ url: undefined }),
      wanted({ extra: 1 }),
      wanted({ headers: { a: 'b' } }),
      wanted({ headers: [['a']] }),
      wanted({ nodes: 'here' }),
      wanted({ nodes: ['host:notaport'] }),
      wanted({ digest: 'md5:1' }),
      wanted({ url: 'ftp://origin/file' }),
      wanted({ url: 'http://' }),
      wanted({ name: 'n'.repeat(5_000) }),
      wanted({ headers: Array.from({ length: 300 }, () => ['a', 'b']) }),
      'x'.repeat(2 * MIB),
    ]
    for (const body of bad) {
      const answer = await ask('POST', '/downloads', body)
      const { code } = await jsonOf(answer)
      assert.deepEqual([answer.statusCode, code], [400, 'USAGE'], JSON.stringify(body).slice(0, 80))
    }
    assert.equal((await ask('GET', '/downloads')).statusCode, 404)
    assert.equal((await ask('POST', '/status')).statusCode, 404)
    assert.deepEqual(peer.status().tasks, [])
    assert.equal(origin.requests.length, 0)
  })

  it('tells the progress line by line, then the result, and keeps the lease while the connection is open', async () => {
    file.set({ rateBytesPerSecond: MIB })
    const answer = await ask('POST', '/downloads', wanted())
    assert.equal(answer.headers['content-type'], 'application/x-ndjson')
    const events = await until(answer, 'complete')
    const held = events.flatMap(said => (said.event === 'progress' ? said.progress.heldBytes : []))
    assert.ok(held.length >= 3)
    assert.deepEqual(
      held,
      held.toSorted((a, b) => a - b),
    )
    const last = events.at(-1)
    assert.ok(last?.event === 'complete')
    assert.equal(statSync(last.result.path).size, LENGTH)
    assert.ok(!answer.closed)
    answer.destroy()
  })

  it('tells the failure with its hint, and ends the answer', async () => {
    file.set({ refusal: { status: 404 } })
    const answer = await ask('POST', '/downloads', wanted())
    const last = (await until(answer, 'failed')).at(-1)
    assert.ok(last?.event === 'failed' && last.code === 'ORIGIN_NOT_FOUND' && last.hint !== '')
    if (!answer.readableEnded) await once(answer.resume(), 'end')
  })

  it('ends a run when the last command that waits for it has gone, and not before', async () => {
    file.set({ rateBytesPerSecond: MIB })
    const first = await ask('POST', '/downloads', wanted())
    const second = await ask('POST', '/downloads', wanted())
    await until(first, 'progress')
    await origin.when(({ readers }) => readers === 1)
    first.destroy()
    await until(second, 'progress')
    const status = (await jsonOf(await ask('GET', '/status'))) as unknown as PeerStatus
    assert.equal(status.tasks.length, 1)
    second.destroy()
    while (peer.status().tasks.length > 0) await new Promise(setImmediate)
  })

  it('gives a download up for whom it is too slow for a minute, and not for whom it is not', async () => {
    await close()
    const clock = new MovedClock()
    const onStop = () => void stops++
    close = await startLocalServer({ peer, socketPath, clock, log: silentLog, onStop })
    file.set({ rateBytesPerSecond: MIB })
    const patient = await ask('POST', '/downloads', wanted())
    const strict = await ask('POST', '/downloads', wanted({ minRate: 10 * MIB }))
    let isOver = false
    const ended = until(strict, 'failed').finally(() => {
      isOver = true
    })
    while (!isOver) {
      clock.moveOn(1_000)
      await new Promise(setImmediate)
    }
    const last = (await ended).at(-1)
    assert.ok(last?.event === 'failed' && last.code === 'DOWNLOAD_SLOW', JSON.stringify(last))
    assert.equal((await until(patient, 'complete')).at(-1)?.event, 'complete')
    patient.destroy()
  })

  it('changes limits, and refuses what is none', async () => {
    const change = async (body: object) => jsonOf(await ask('POST', '/limits', body))
    assert.deepEqual(await change({ total: 5_000 }), { total: 5_000, local: null })
    assert.deepEqual(await change({ local: 7 }), { total: 5_000, local: 7 })
    assert.deepEqual(await change({ total: null }), { total: null, local: 7 })
    for (const bad of [{ total: 0 }, { local: -1 }, { local: 'x' }, { more: 1 }]) {
      assert.equal((await change(bad)).code, 'USAGE')
    }
  })

  it('takes the word to stop, and answers it', async () => {
    const answer = await ask('POST', '/stop')
    assert.deepEqual([answer.statusCode, await jsonOf(answer)], [200, {}])
    assert.equal(stops, 1)
  })

  it('counts who attends the peer, until they go', async () => {
    const answers = [await ask('GET', '/attendance'), await ask('GET', '/attendance')]
    const attendantsAre = async (count: number) => {
      while (peer.status().attendants !== count) await new Promise(setImmediate)
    }
    await attendantsAre(2)
    for (const [at, answer] of answers.entries()) {
      assert.equal(answer.statusCode, 200)
      answer.destroy()
      await attendantsAre(1 - at)
    }
    assert.equal(peer.status().commands, 0)
  })

  it('closes although commands are waiting', async () => {
    file.set({ headFault: 'silent' })
    const answer = await ask('POST', '/downloads', wanted())
    const broken = once(answer, 'error')
    answer.resume()
    await close()
    await broken
    close = async () => {}
  })
})
