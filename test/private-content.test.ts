import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { digestOf } from '../src/core/digest.ts'
import type { DragonflyError } from '../src/core/error.ts'
import { announcement, ControlPeer } from './support/control-peer.ts'
import { type GuardedOrigin, startGuardedOrigin, type Verdict } from './support/guarded-origin.ts'
import { type KeptLog, keptLog } from './support/kept-log.ts'
import { claimOfAll } from './support/lying-peer.ts'
import { startOriginServer } from './support/origin-server.ts'
import { startSystem, type TestSystem } from './support/system.ts'

/** Content that not everybody may have is given to those whom the origin lets in with their own credentials, and to nobody else. */

const LENGTH = 3 * 1024 * 1024 + 5

/** Each way in which a request can say who it is, with one that is let in and one that is not. */
type Way = {
  readonly name: string
  good(origin: string): Asked
  bad(origin: string): Asked
  isIn(request: IncomingMessage): boolean
}
type Asked = { readonly url: string; readonly headers: [string, string][] }

const byHeader = (name: string, value: string): Way => ({
  name,
  good: origin => ({ url: `${origin}/file`, headers: [[name, value]] }),
  bad: origin => ({ url: `${origin}/file`, headers: [[name, `${value}x`]] }),
  isIn: request => request.headers[name.toLowerCase()] === value,
})

const SECRET = 's3cr3t-value'
const WAYS: readonly Way[] = [
  byHeader('Authorization', `Bearer ${SECRET}`),
  byHeader('Cookie', `session=${SECRET}`),
  byHeader('X-Api-Key', SECRET),
  {
    name: 'signed URL',
    good: origin => ({ url: `${origin}/file?X-Amz-Signature=${SECRET}&X-Amz-Date=1`, headers: [] }),
    bad: origin => ({ url: `${origin}/file?X-Amz-Signature=wrong&X-Amz-Date=1`, headers: [] }),
    isIn: request => request.url?.includes(`X-Amz-Signature=${SECRET}`) === true,
  },
]

const GOOD = WAYS[0]
const refusalOf = (promise: Promise<unknown>) =>
  promise.then(
    () => assert.fail('this was to be refused'),
    (thrown: DragonflyError) => thrown,
  )

describe('private content', () => {
  let system: TestSystem
  let origin: GuardedOrigin
  let judge: (request: IncomingMessage) => Verdict | Promise<Verdict>
  let isIn: (request: IncomingMessage) => boolean
  let log: KeptLog

  beforeEach(async () => {
    log = keptLog()
    isIn = GOOD.isIn
    judge = request => (isIn(request) ? { to: 'content' } : { to: 'refusal', status: 401 })
    origin = await startGuardedOrigin({ lengthBytes: LENGTH, judge: request => judge(request) })
    system = await startSystem({ freshMs: 60_000, log })
  })
  afterEach(async () => {
    ControlPeer.endAll()
    await system.stop()
    await origin.close()
  })

  /** Whether the CDN's copy is. */
  const isComplete = () => log.lines.some(line => line.message === 'task complete at cdn')
  const good = () => GOOD.good(origin.url)
  const stranger = () => ({ url: `${origin.url}/file`, headers: [] as [string, string][] })
  const digest = () => digestOf(createHash('sha256').update(origin.content).digest())
  const fetchFirst = async (asked: Asked = good()) => {
    const peer = await system.startPeer({ log })
    return system.download(peer, asked.url, { headers: asked.headers })
  }

  for (const way of WAYS) {
    it(`by ${way.name} goes to whom the origin lets in, and is refused to all others with the origin’s word`, async () => {
      isIn = way.isIn
      await fetchFirst(way.good(origin.url))
      const askers = [
        way.bad(origin.url),
        stranger(),
        { ...stranger(), headers: [['Accept', '*/*']] },
      ] as Asked[]
      for (const { url, headers } of askers) {
        const peer = await system.startPeer({ log })
        const sent = system.supernode.sentBytes
        const error = await refusalOf(system.download(peer, url, { headers }))
        assert.equal(error.code, 'ORIGIN_UNAUTHORIZED')
        assert.equal(system.supernode.sentBytes, sent)
      }
      const member = await system.startPeer({ log })
      const { url, headers } = way.good(origin.url)
      const result = await system.download(member, url, { headers })
      assert.equal(result.bytes.origin, 0)
      assert.equal(result.digest, digest())
    })
  }

  it('by user info goes to whom the origin lets in, and the user is part of what is asked for', async () => {
    isIn = request => request.headers.authorization === `Basic ${btoa(`user:${SECRET}`)}`
    const named = (user: string) => ({
      url: origin.url.replace('//', `//${user}@`).concat('/file'),
      headers: [],
    })
    await fetchFirst(named(`user:${SECRET}`))
    for (const asked of [named('user:wrong'), named('other'), stranger()]) {
      assert.equal((await refusalOf(fetchFirst(asked))).code, 'ORIGIN_UNAUTHORIZED')
    }
  })

  it('is not given to a stranger who claims to hold all of it, while the supernode has nothing of it', async () => {
    const member = await ControlPeer.greeted(system.node)
    const claim = await claimOfAll(member, good())
    ControlPeer.endAll()
    await system.stopSupernode()
    await rm(path.join(system.directory, 'supernode', 'repo'), { recursive: true })
    await system.restartSupernode()
    const peer = await ControlPeer.greeted(system.node)
    for (const headers of [stranger().headers, GOOD.bad(origin.url).headers]) {
      const answer = await peer.announce({ ...claim, headers })
      assert.equal('code' in answer && answer.code, 'ORIGIN_UNAUTHORIZED')
    }
    assert.equal((await peer.announce(claim)).type, 'layout')
    for (const headers of [stranger().headers, GOOD.bad(origin.url).headers]) {
      const answer = await peer.announce({ ...claim, headers })
      assert.equal('code' in answer && answer.code, 'ORIGIN_UNAUTHORIZED', 'nor once another was let in')
    }
  })

  it('tells a stranger no token, no digest and no layout, only the refusal', async () => {
    await fetchFirst()
    const peer = await ControlPeer.greeted(system.node)
    for (const asked of [
      stranger(),
      { ...stranger(), headers: [['Authorization', 'Bearer x']] },
    ] as Asked[]) {
      const answer = await peer.announce(announcement(asked))
      assert.deepEqual(
        { type: answer.type, code: 'code' in answer && answer.code },
        {
          type: 'error',
          code: 'ORIGIN_UNAUTHORIZED',
        },
      )
    }
    assert.deepEqual(
      peer.received.map(message => message.type),
      ['welcome', 'error', 'error'],
    )
  })

  it('of two repositories of one registry is fetched once, and each caller is let in where it asks', async () => {
    const urlIn = (repository: string) => `${origin.url}/v2/${repository}/blobs/${digest()}`
    const asked = (repository: string, secret: string) => ({
      url: urlIn(repository),
      headers: [['Authorization', secret]] as [string, string][],
    })
    judge = ({ url, headers }) =>
      url?.startsWith(`/v2/${headers.authorization}/`) ? { to: 'content' } : { to: 'refusal', status: 401 }
    const download = async ({ url, headers }: Asked) =>
      system.download(await system.startPeer({ log }), url, { headers, digest: digest() })
    const isQuestion = ({ range, 'if-none-match': known }: IncomingMessage['headers']) =>
      range === 'bytes=0-0' || known !== undefined
    const bodies = () => origin.requests.filter(({ headers }) => !isQuestion(headers)).length
    origin.holdAfterBytes = 1024 * 1024
    const first = download(asked('one', 'one'))
    const early = await ControlPeer.greeted(system.node)
    while (origin.requests.length === 0) await new Promise(resolve => setImmediate(resolve))
    const layout = await early.announce(announcement({ ...asked('two', 'two'), digest: digest() }))
    assert.equal(layout.type, 'layout', 'also while it is fetched')
    origin.holdAfterBytes = null
    await first
    await download(asked('two', 'two'))
    for (const refused of [asked('two', 'one'), asked('three', 'two')]) {
      const sent = system.supernode.sentBytes
      const error = await refusalOf(download(refused))
      assert.equal(error.code, 'ORIGIN_UNAUTHORIZED')
      assert.equal(system.supernode.sentBytes, sent)
    }
    await system.restartSupernode({ freshMs: 0 })
    await download(asked('two', 'two'))
    assert.equal(bodies(), 1)
  })

  it('is not given for a digest with another URL: not while it is fetched, not later, not after a restart', async t => {
    const other = await startOriginServer()
    t.after(() => other.close())
    const elsewhere = other.serve('/mine', { lengthBytes: LENGTH, seed: 9 })
    const wanted = { url: elsewhere.url, digest: digest() }
    origin.holdAfterBytes = 1024 * 1024
    const first = await system.startPeer({ log })
    const { url, headers } = good()
    const asked = { headers, digest: digest() }
    const downloading = system.download(first, url, asked)
    const owner = await ControlPeer.greeted(system.node)
    const layout = await owner.announce(announcement({ url, headers, digest: digest() }))
    assert.ok(layout.type === 'layout')
    const thief = await ControlPeer.greeted(system.node)
    const isBlind = async () => {
      const answer = await thief.announce(announcement(wanted))
      if (answer.type === 'layout') assert.notEqual(answer.token, layout.token)
      return answer
    }
    assert.equal((await isBlind()).type, 'error')
    origin.holdAfterBytes = null
    await downloading
    assert.equal((await isBlind()).type, 'error')
    for (const freshMs of [60_000, 0]) {
      await system.restartSupernode({ freshMs })
      await system.download(await system.startPeer({ log }), url, asked)
      const peer = await system.startPeer({ log })
      const before = system.supernode.sentBytes
      const error = await refusalOf(system.download(peer, wanted.url, { digest: wanted.digest }))
      assert.equal(error.code, 'DIGEST_MISMATCH')
      const privateBytes = origin.requests.length
      assert.ok(system.supernode.sentBytes - before <= other.bodyBytesSent, 'only the stranger’s own content')
      assert.equal(origin.requests.length, privateBytes)
    }
    await system.restartSupernode({ freshMs: 0 })
    const late = await ControlPeer.greeted(system.node)
    const answer = await late.announce(announcement(wanted))
    assert.ok(answer.type === 'error' || answer.token !== layout.token)
  })

  it('is not proven by a page that asks for a password, whatever its length, digest or not', async () => {
    judge = request => (isIn(request) ? { to: 'content' } : { to: 'login page' })
    for (const wanted of [{}, { digest: digest() }]) {
      const { url, headers } = good()
      for (const freshMs of [60_000, 0]) {
        await system.restartSupernode({ freshMs })
        await system.download(await system.startPeer({ log }), url, { headers, ...wanted })
        const insider = await ControlPeer.greeted(system.node)
        const layout = await insider.announce(announcement({ url, headers, ...wanted }))
        const outsider = await ControlPeer.greeted(system.node)
        const seen = await outsider.announce(announcement({ url, ...wanted }))
        assert.ok(layout.type === 'layout')
        assert.ok(seen.type === 'error' || seen.token !== layout.token, 'no token that opens the content')
        const intruder = await system.startPeer({ log })
        const sent = system.supernode.sentBytes
        const outcome = await system.download(intruder, url, wanted).catch((thrown: DragonflyError) => thrown)
        if (outcome instanceof Error) assert.equal(outcome.code, 'DIGEST_MISMATCH')
        else assert.equal(outcome.lengthBytes, '<html>please log in</html>'.length)
        assert.ok(system.supernode.sentBytes - sent < 100)
      }
      await system.restartSupernode()
      const intruder = await system.startPeer({ log })
      await system.download(intruder, url, wanted).catch(() => null)
      assert.ok(system.supernode.sentBytes < 100, 'the page at most')
    }
  })

  it('reaches whoever is let in although others ask badly at the same time, before and after', async () => {
    const peers = await Promise.all(Array.from({ length: 4 }, () => system.startPeer({ log })))
    const { url, headers } = good()
    const bad: [string, string][] = [['Authorization', 'Bearer wrong']]
    const outcomes = await Promise.allSettled([
      system.download(peers[0], url, { headers: bad }),
      system.download(peers[1], url, { headers }),
      system.download(peers[2], url, {}),
      system.download(peers[3], url, { headers }),
    ])
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['rejected', 'fulfilled', 'rejected', 'fulfilled'],
    )
    assert.ok(outcomes.every(o => o.status === 'fulfilled' || o.reason.code === 'ORIGIN_UNAUTHORIZED'))
  })

  it('is not taken from a download under way, nor from the cache, by asking badly', async () => {
    await system.restartSupernode({ freshMs: 0, uploadLimit: 1024 * 1024 })
    const { url, headers } = good()
    const slow = await system.startPeer({ log })
    const downloading = system.download(slow, url, { headers })
    const member = await ControlPeer.greeted(system.node)
    await member.announce(announcement({ url, headers }))
    while (!isComplete()) await new Promise(setImmediate)
    const stranger = await ControlPeer.greeted(system.node)
    const verdicts = [
      { to: 'refusal', status: 401 },
      { to: 'login page' },
      { to: 'refusal', status: 404 },
    ] as const
    for (const verdict of verdicts) {
      judge = request => (isIn(request) ? { to: 'content' } : verdict)
      for (const shown of [{ url }, { url, headers: [['Authorization', 'Bearer x']] }] as Asked[]) {
        assert.equal((await stranger.announce(announcement(shown))).type, 'error')
      }
    }
    const result = await downloading
    assert.equal(result.digest, digest())
    assert.equal(result.bytes.origin, 0)
    assert.equal(
      origin.requests.filter(({ headers }) => headers.range === undefined && !headers['if-none-match'])
        .length,
      1,
    )
  })

  it('stays in the cache over a restart for whoever is let in, and a stranger neither gets nor evicts it', async () => {
    await fetchFirst()
    await system.restartSupernode()
    assert.equal((await refusalOf(fetchFirst(stranger()))).code, 'ORIGIN_UNAUTHORIZED')
    assert.equal(system.supernode.sentBytes, 0)
    const { bytes } = await fetchFirst()
    assert.equal(bytes.origin, 0)
    assert.equal(system.supernode.originBytes, 0)
  })

  it('is asked for with each caller’s own credentials only', async () => {
    isIn = request => /^Bearer (ann|bob)$/.test(request.headers.authorization ?? '')
    for (const name of ['ann', 'bob', 'eve', 'ann']) {
      const before = origin.requests.length
      const asked = { url: `${origin.url}/file`, headers: [['Authorization', `Bearer ${name}`]] } as Asked
      await fetchFirst(asked).catch(() => null)
      const shown = origin.requests.slice(before).map(request => request.headers.authorization)
      assert.ok(shown.every(value => value === `Bearer ${name}`))
      assert.ok(shown.length > 0 || before > 0)
    }
  })

  it('does not take credentials to where the origin redirects to', async t => {
    const storage = await startOriginServer()
    t.after(() => storage.close())
    const file = storage.serve('/blob', { lengthBytes: LENGTH, seed: 5 })
    const front = await startOriginServer()
    t.after(() => front.close())
    const entry = front.serve('/file', { redirect: { to: file.url }, lengthBytes: 0 })
    const peer = await system.startPeer({ log })
    const headers: [string, string][] = [
      ['Authorization', `Bearer ${SECRET}`],
      ['Cookie', `session=${SECRET}`],
      ['X-Api-Key', SECRET],
    ]
    await system.download(peer, entry.url, { headers })
    assert.ok(entry.requests.every(request => request.headers.authorization === `Bearer ${SECRET}`))
    assert.ok(file.requests.length > 0)
    assert.ok(!JSON.stringify(file.requests).includes(SECRET))
  })

  it('asks nothing more of the origin where the request shows nothing', async () => {
    judge = () => ({ to: 'content' })
    for (let i = 0; i < 3; i++) await fetchFirst(stranger())
    assert.equal(origin.requests.length, 1)
  })

  it('is asked about once more where a request shows something else than the one that fetched it', async () => {
    judge = request =>
      request.headers['user-agent'] === 'blocked' ? { to: 'login page' } : { to: 'content' }
    await fetchFirst({ ...stranger(), headers: [['User-Agent', 'blocked']] })
    const { digest: got } = await fetchFirst(stranger())
    assert.equal(got, digest())
  })

  it('leaves no credential in logs, records, errors or the status', async () => {
    const asked = [...WAYS.map(way => way.good(origin.url)), ...WAYS.map(way => way.bad(origin.url))]
    isIn = request => WAYS.some(way => way.isIn(request))
    const said: string[] = []
    for (const { url, headers } of [
      ...asked,
      { url: origin.url.replace('//', `//user:${SECRET}@`).concat('/file'), headers: [] },
      { url: `${origin.url}/file?access_token=${SECRET}`, headers: [['X-Api-Key', SECRET]] },
    ] as Asked[]) {
      const peer = await system.startPeer({ log })
      const outcome = await system.download(peer, url, { headers }).catch((thrown: DragonflyError) => thrown)
      said.push(outcome instanceof Error ? `${outcome.message} ${outcome.stack}` : JSON.stringify(outcome))
      said.push(JSON.stringify(peer.status()))
    }
    said.push(await (await fetch(`http://${system.node}/`)).text(), log.text)
    for (const name of readdirSync(system.directory, { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.jsonl')) continue
      said.push(name, readFileSync(path.join(system.directory, name), 'utf8'))
    }
    assert.ok(
      said.some(text => text.includes('"url"')),
      'the records are looked at',
    )
    assert.ok(!said.some(text => text.includes(SECRET)))
    await assert.rejects(readFile(path.join(system.directory, SECRET)))
  })
})
