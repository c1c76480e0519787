import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { located, type ScriptedManager, startScriptedManager } from '../../test/support/scripted-manager.ts'
import type { DragonflyError } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import { join, leave, locate, type ManagerCall, renewLease } from './manager-client.ts'

const WHO = { hostName: 'here', addresses: ['10.0.0.1'], version: '2' }
const LEASE = {
  control: { host: 'h', port: 1 },
  pieces: { host: 'h', port: 2 },
  hostName: 'here',
  version: '2',
  load: { peers: 0, tasks: 0, sentBytesPerSecond: 0, uploadLimit: null },
}
const DEAD = 'http://127.0.0.1:9'
const SECRET = 'a'.repeat(64)

describe('the client of the managing node', () => {
  const started: ScriptedManager[] = []
  const start = async (...args: Parameters<typeof startScriptedManager>) => {
    const manager = await startScriptedManager(...args)
    started.push(manager)
    return manager
  }
  after(() => Promise.all(started.map(manager => manager.close())))

  const call = (managers: readonly string[], changes: Partial<ManagerCall> = {}): ManagerCall => ({
    managers,
    clock: systemClock,
    signal: new AbortController().signal,
    ...changes,
  })

  it('says who it is, and gets places', async () => {
    const manager = await start(() => ({ body: located(['10.0.0.9:8002']) }))
    assert.deepEqual(await locate(call([manager.url]), WHO), located(['10.0.0.9:8002']))
    assert.deepEqual(manager.asked, [
      { method: 'POST', path: '/api/v1/locate', authorization: undefined, body: WHO },
    ])
  })

  it('joins, renews and leaves with what it was given', async () => {
    const place = located([]).place
    const answer = { leaseMs: 15_000, renewMs: 5_000, isDraining: false, place, zone: null, parents: [] }
    const manager = await start(({ path, method }) => {
      if (path === '/api/v1/join') return { body: { credential: 'mine', clusterSecret: SECRET } }
      return method === 'DELETE' ? { status: 204, body: '' } : { body: answer }
    })
    const { credential } = await join(call([manager.url]), { token: 'token', supernodeId: 'a/b' })
    const asMember = call([manager.url], { credential })
    assert.deepEqual(await renewLease(asMember, 'a/b', LEASE), answer)
    await leave(asMember, 'a/b')
    assert.deepEqual(
      manager.asked.map(({ method, path, authorization }) => [method, path, authorization]),
      [
        ['POST', '/api/v1/join', undefined],
        ['PUT', '/api/v1/supernodes/a%2Fb/lease', 'Bearer mine'],
        ['DELETE', '/api/v1/supernodes/a%2Fb/lease', 'Bearer mine'],
      ],
    )
  })

  it('asks the next one where one is dead, refuses, or hangs', async () => {
    const good = await start(() => ({ body: located([]) }))
    const busy = await start(() => ({ status: 503, body: 'busy' }))
    const silent = await start(() => 'hang')
    const failures: [string, string][] = []
    const onFailed = (manager: string, { code }: DragonflyError) => void failures.push([manager, code])
    const managers = [DEAD, busy.url, silent.url, good.url]
    await locate(call(managers, { headStartMs: 30, onFailed }), WHO)
    assert.deepEqual(failures.slice(0, 2), [
      [DEAD, 'MANAGER_UNREACHABLE'],
      [busy.url, 'MANAGER_UNREACHABLE'],
    ])
  })

  it('ends after its time, whoever hangs, and at once when nobody waits any more', async () => {
    const silent = await start(() => 'hang')
    const unreachable = { code: 'MANAGER_UNREACHABLE', message: /127\.0\.0\.1/ }
    await assert.rejects(locate(call([silent.url], { timeoutMs: 30 }), WHO), unreachable)
    const bound = { headStartMs: 10, totalMs: 40 }
    await assert.rejects(locate(call([silent.url, silent.url], bound), WHO), unreachable)
    const gone = new AbortController()
    const asked = locate(call([silent.url], { signal: gone.signal }), WHO)
    gone.abort()
    await assert.rejects(asked, { code: 'CANCELLED' })
    await assert.rejects(locate(call([]), WHO), { code: 'MANAGER_UNREACHABLE' })
  })

  it('does not spend a token twice while it waits', async () => {
    const slow = await start(() => 'hang')
    const other = await start(() => ({ body: { credential: 'mine', clusterSecret: SECRET } }))
    const hasty = call([slow.url, other.url], { timeoutMs: 200, headStartMs: 1 })
    const joined = join(hasty, { token: 'token', supernodeId: 'a' })
    await slow.whenAsked(1)
    assert.equal(other.asked.length, 0)
    await joined
  })

  it('repeats why it is refused, with the code, on one line, and without what it has shown', async () => {
    const body = { code: 'CREDENTIAL_INVALID', message: 'not\r\nyours', hint: '' }
    const manager = await start(() => ({ status: 401, body }))
    const refused = join(call([DEAD, manager.url]), { token: 'hush', supernodeId: 'a' })
    await assert.rejects(refused, (error: DragonflyError) => {
      assert.equal(error.code, 'CREDENTIAL_INVALID')
      assert.match(error.message, /^127\.0\.0\.1:\d+ answered with status 401: not\?\?yours$/)
      return true
    })
  })

  it('takes from nobody a code that is not of managing nodes', async () => {
    const manager = await start(() => ({
      status: 404,
      body: { code: 'ORIGIN_NOT_FOUND', message: '', hint: '' },
    }))
    await assert.rejects(locate(call([manager.url]), WHO), { code: 'PROTOCOL_INVALID' })
  })

  const SUPERNODE = { id: 'a', control: { host: 'h', port: 1 } }
  const many = (count: number) => [
    { nearness: 'idc' as const, supernodes: Array.from({ length: count }, () => SUPERNODE) },
  ]
  const at = (host: string) => [
    { nearness: 'idc' as const, supernodes: [{ id: 'a', control: { host, port: 1 } }] },
  ]
  const HOSTILE: [string, object | string, RegExp][] = [
    ['what is not JSON', '<html>', /expected object/i],
    ['a wrong type', { ...located([]), zone: 7 }, /zone/],
    ['an unknown field', { ...located([]), more: 1 }, /more/],
    ['an endless answer', ' '.repeat(1024 * 1024 + 1), /more than 1048576 bytes/],
    ['10 000 supernodes', located([], { groups: many(10_000) }), /more than 1024 supernodes/],
    ['an address with a line break', located([], { groups: at('h\r\nX: y') }), /a name or an IP address/],
    ['an address that says more', located([], { groups: at('h:1/x?') }), /a name or an IP address/],
    [
      'a name with a line break',
      located([], { groups: [{ nearness: 'idc', supernodes: [{ ...SUPERNODE, id: 'a\n' }] }] }),
      /no line break/,
    ],
    ['a zone with a line break', located([], { zone: 'a\nb' }), /no line break/],
    ['a manager with credentials', located([], { managers: ['http://a:b@h:1'] }), /http:\/\/host:port/],
    ['a manager of another scheme', located([], { managers: ['file:///etc/passwd'] }), /http:\/\/host:port/],
    ['too many managers', located([], { managers: Array(65).fill('http://h:1') }), /more than 64/],
  ]
  for (const [what, body, says] of HOSTILE) {
    it(`refuses ${what}`, async () => {
      const manager = await start(() => ({ body }))
      await assert.rejects(locate(call([manager.url]), WHO), { code: 'PROTOCOL_INVALID', message: says })
    })
  }

  it('follows no redirect, so that no credential goes along', async () => {
    const target = await start(() => ({ body: located([]) }))
    const manager = await start(({ path }) => ({ status: 307, headers: { location: target.url + path } }))
    const asMember = call([manager.url], { credential: 'mine' })
    await assert.rejects(leave(asMember, 'a'), { code: 'PROTOCOL_INVALID', message: /status 307/ })
    assert.equal(target.asked.length, 0)
  })

  it('does not trip over an address that is none', async () => {
    await assert.rejects(locate(call(['http://']), WHO), { code: 'MANAGER_UNREACHABLE' })
  })
})
