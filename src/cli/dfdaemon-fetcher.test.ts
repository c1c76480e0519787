import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { keptLog } from '../../test/support/kept-log.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'
import type { ContentFetcher, ContentOrder } from '../dfdaemon/options.ts'
import { type Log, silentLog } from '../ops/log.ts'
import { openHome } from '../peer/home.ts'
import type { DownloadRequest, LocalEvent } from '../wire/local.ts'
import { residentFetcher } from './dfdaemon-fetcher.ts'
import { type DfdaemonSettings, defaultSettings } from './dfdaemon-settings.ts'
import type { PeerAttendance } from './peer-attendance.ts'

const ORDER: ContentOrder = {
  url: 'http://127.0.0.1:5000/v2/lib/nginx/blobs/sha256:aa?X-Amz-Signature=s',
  headers: [['authorization', 'Bearer abc']],
  name: 'sha256-aa',
  digest: `sha256:${'a'.repeat(64)}`,
  authorities: null,
  isInsecure: false,
  lookAhead: 16,
  readFrom: 5,
}

const line = (event: object) => `${JSON.stringify(event)}\n`
const progress = { event: 'progress', progress: { heldBytes: 1 }, readable: null }
const complete = { event: 'complete', result: { path: '/copy', lengthBytes: 7 } }

async function eventsOf(fetched: AsyncIterable<LocalEvent>): Promise<LocalEvent[]> {
  const events: LocalEvent[] = []
  for await (const event of fetched) events.push(event)
  return events
}

describe('what dfdaemon asks of the resident peer', () => {
  let workHome: string
  let peer: Server
  let asked: DownloadRequest[]
  const attendants: ServerResponse[] = []
  const attendances: PeerAttendance[] = []
  let answer: (response: ServerResponse) => void
  before(async () => {
    workHome = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-fetcher-'))
  })
  after(() => rm(workHome, { recursive: true }))
  beforeEach(async () => {
    asked = []
    attendants.length = 0
    peer = createServer(async (request, response) => {
      if (request.url === '/attendance') {
        response.flushHeaders()
        attendants.push(response)
        return
      }
      assert.deepEqual([request.method, request.url], ['POST', '/downloads'])
      asked.push(JSON.parse(Buffer.concat(await request.toArray()).toString()))
      answer(response)
    })
    peer.listen((await openHome(workHome)).socket)
    await once(peer, 'listening')
  })
  afterEach(async () => {
    for (const attendance of attendances.splice(0)) await attendance.stop()
    peer.closeAllConnections()
    peer.close()
    await once(peer, 'close')
  })

  const settings = (said: DfdaemonSettings = {}): DfdaemonSettings => ({
    ...defaultSettings(),
    workHome,
    ...said,
    dfget_flags: ['--config=', ...(said.dfget_flags ?? [])],
  })
  const opened = async (said?: DfdaemonSettings, log: Log = silentLog) => {
    const own = await residentFetcher(settings(said), { environment: {}, dfget: '/nowhere/dfget', log })
    attendances.push(own.attendance)
    return own
  }
  const fetcherOf = async (...said: Parameters<typeof opened>): Promise<ContentFetcher> =>
    (await opened(...said)).fetcher
  const untilAbort = new AbortController().signal

  it('is the order, with what dfget would say of its own', async () => {
    answer = response => response.end(line(complete))
    const fetcher = await fetcherOf({
      supernodes: ['10.0.0.1', '10.0.0.2:9000'],
      ratelimit: '20MB',
      dfget_flags: ['-f', 'Expires&Signature', '--header', 'X-Site: here'],
    })
    await eventsOf(fetcher.fetch(ORDER, untilAbort))
    assert.deepEqual(asked, [
      {
        ...ORDER,
        headers: [['X-Site', 'here'], ...ORDER.headers],
        tag: '',
        md5: null,
        filter: ['Expires', 'Signature'],
        callSystem: 'dfdaemon',
        wantsDigest: false,
        waitsForDisk: false,
        pattern: 'p2p',
        mayReadOrigin: true,
        localLimit: 20 * 1024 ** 2,
        minRate: null,
        proxies: { http: null, https: null, except: [] },
        nodes: ['10.0.0.1:8002', '10.0.0.2:9000'],
      },
    ])
  })

  it('is not limited unless that was said, and leaves supernodes to the managing node where there is one', async () => {
    answer = response => response.end(line(complete))
    const fetcher = await fetcherOf({ managers: ['http://10.0.0.9:8080'] })
    await eventsOf(fetcher.fetch(ORDER, untilAbort))
    const [{ localLimit, nodes, managers }] = asked
    assert.deepEqual([localLimit, nodes, managers], [null, [], ['http://10.0.0.9:8080']])
  })

  it('goes with its attendance: one at a time, a new one with the next order where it broke off, none after the end', async () => {
    answer = response => response.end(line(complete))
    const { fetcher, attendance } = await opened()
    const order = () => eventsOf(fetcher.fetch(ORDER, untilAbort))
    const untilAttended = async (times: number) => {
      while (attendants.length < times) await setImmediate()
    }
    attendance.renew()
    await untilAttended(1)
    await order()
    attendants[0].destroy()
    // Whether it has been noticed can only be seen by asking for more.
    while (attendants.length < 2) await order()
    const isClosed = once(attendants[1], 'close')
    await attendance.stop()
    await isClosed
    await order()
    attendance.renew()
    await order()
    assert.equal(attendants.length, 2)
  })

  it('is heard as it comes, and kept open after the last word until the reader is done', async () => {
    const closed = Promise.withResolvers<void>()
    const heard = Promise.withResolvers<void>()
    answer = response => {
      response.once('close', closed.resolve)
      const text = line(progress) + line(complete)
      response.write(text.slice(0, 20))
      response.write(text.slice(20, line(progress).length + 3))
      void heard.promise.then(() => response.write(text.slice(line(progress).length + 3)))
    }
    const fetcher = await fetcherOf()
    const events = fetcher.fetch(ORDER, untilAbort)[Symbol.asyncIterator]()
    assert.deepEqual((await events.next()).value, progress)
    heard.resolve()
    assert.deepEqual((await events.next()).value, complete)
    let isClosed = false
    void closed.promise.then(() => {
      isClosed = true
    })
    // A round trip to the same peer shows that nothing has been closed in the meantime.
    const other = fetcher.fetch(ORDER, untilAbort)[Symbol.asyncIterator]()
    await other.next()
    assert.equal(isClosed, false)
    await Promise.all([events.return?.(), other.return?.()])
    await closed.promise
  })

  it('fails as the peer says, also before it has begun, and where it ends too early', async () => {
    const failed = { event: 'failed', code: 'ORIGIN_NOT_FOUND', message: 'nothing there', hint: '' }
    const refusal = { code: 'DISK_FULL', message: 'no space', hint: '' }
    const answers: [(response: ServerResponse) => void, code: string][] = [
      [response => response.end(line(progress) + line(failed)), 'ORIGIN_NOT_FOUND'],
      [response => response.writeHead(507).end(JSON.stringify(refusal)), 'DISK_FULL'],
      [response => response.end(line(progress)), 'PEER_LOST'],
      [response => response.end('{"event":"pro'), 'PEER_LOST'],
      [response => response.write(line(progress), () => response.destroy()), 'PEER_LOST'],
    ]
    for (const [behaviour, code] of answers) {
      answer = behaviour
      await assert.rejects(eventsOf((await fetcherOf()).fetch(ORDER, untilAbort)), { code })
    }
  })

  it('is given up by the signal', async () => {
    const closed = Promise.withResolvers<void>()
    const controller = new AbortController()
    const reason = new Error('nobody reads it any more')
    answer = response => {
      response.once('close', closed.resolve)
      response.write(line(progress), () => controller.abort(reason))
    }
    const fetcher = await fetcherOf()
    await assert.rejects(eventsOf(fetcher.fetch(ORDER, controller.signal)), reason)
    await closed.promise
  })

  it('does not change with flags that have no effect, which the log names without their values', async () => {
    answer = response => response.end(line(complete))
    const [netrc, authority] = ['netrc', 'authority.pem'].map(name => path.join(workHome, name))
    await writeFile(netrc, 'machine 127.0.0.1 login somebody password hush\n', { mode: 0o600 })
    await writeFile(authority, createSelfSigned({ dns: 'registry.example' }).cert)
    const flags = [
      ['--content-disposition', '--insecure', '--standalone', '--console', '-b', '-q', '--json'],
      ['--tries', '9', '--timeout', '4m', '--netrc', netrc, '--home', '/nowhere/home'],
      ['--clientqueue', '7', '--cacerts', authority],
    ].flat()
    const log = keptLog()
    const fetchers = [await fetcherOf(), await fetcherOf({ dfget_flags: ['--notbs', ...flags] }, log)]
    for (const fetcher of fetchers) await eventsOf(fetcher.fetch(ORDER, untilAbort))
    const [usual, flagged] = asked
    assert.deepEqual(flagged, { ...usual, mayReadOrigin: false })
    const [{ message, facts }] = log.lines
    assert.equal(message, 'dfget_flags without effect')
    const named = flags.filter(word => word.startsWith('-'))
    for (const flag of named) assert.ok(JSON.stringify(facts).includes(flag), flag)
    assert.equal((facts as { flags: string[] }).flags.length, named.length)
    assert.doesNotMatch(log.text, /nowhere|\.pem|notbs/)
  })

  it('refuses flags of dfget that belong to one download, and repeats no value', async () => {
    const wrong: [flags: string[], says: RegExp][] = [
      [['-o', '/tmp/x'], /^dfget_flags: -o, --output <file> belongs to one download$/],
      [['--digest', `sha256:${'a'.repeat(64)}`], /belongs to one download$/],
      [['--locallimt', '5M'], /^dfget_flags: error: unknown option '--locallimt'/],
      [['--header', 'Authorization=hush'], /^dfget_flags: error: option '--header <header>'/],
    ]
    for (const [flags, says] of wrong) {
      await assert.rejects(fetcherOf({ dfget_flags: flags }), (thrown: Error & { code: string }) => {
        assert.equal(thrown.code, 'CONFIG_INVALID')
        assert.match(thrown.message, says)
        assert.doesNotMatch(thrown.message, /hush/)
        return true
      })
    }
  })
})
