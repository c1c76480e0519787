import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { ERROR_TABLE, isErrorCode } from '../src/core/error.ts'
import {
  type ApiAnswer,
  type ApiQuestion,
  joinAt,
  leaseOf,
  type ManagerWorld,
  renewAt,
  startManager,
} from './support/manager-world.ts'

/** What the API takes and what it refuses, route by route. */

const LOCATE = { hostName: 'host', addresses: ['10.0.0.1'], version: '1' }
const ENTRY = {
  cidr: '10.0.0.0/8',
  hostName: null,
  securityDomain: 'd',
  idc: 'i',
  location: null,
  rack: null,
}
const TOKEN = { kind: 'join', name: 'x', lifetimeMs: 1_000, usesMax: null }

type Role = 'open' | 'supernode' | 'admin'
const ROUTES: readonly { method: string; path: string; role: Role; body?: object }[] = [
  { method: 'POST', path: '/api/v1/locate', role: 'open', body: LOCATE },
  { method: 'POST', path: '/api/v1/join', role: 'open', body: { token: 't', supernodeId: 'a' } },
  { method: 'PUT', path: '/api/v1/supernodes/{id}/lease', role: 'supernode', body: leaseOf('127.0.0.1') },
  { method: 'DELETE', path: '/api/v1/supernodes/{id}/lease', role: 'supernode' },
  { method: 'GET', path: '/api/v1/supernodes', role: 'admin' },
  { method: 'PUT', path: '/api/v1/supernodes/{id}/drain', role: 'admin', body: { isDraining: true } },
  { method: 'DELETE', path: '/api/v1/supernodes/{id}', role: 'admin' },
  { method: 'GET', path: '/api/v1/tokens', role: 'admin' },
  { method: 'POST', path: '/api/v1/tokens', role: 'admin', body: TOKEN },
  { method: 'DELETE', path: '/api/v1/tokens/{id}', role: 'admin' },
  { method: 'GET', path: '/api/v1/armory/entries', role: 'admin' },
  { method: 'POST', path: '/api/v1/armory/entries', role: 'admin', body: { entries: [ENTRY] } },
  { method: 'PUT', path: '/api/v1/armory/entries/{id}', role: 'admin', body: ENTRY },
  { method: 'DELETE', path: '/api/v1/armory/entries/{id}', role: 'admin' },
  { method: 'GET', path: '/api/v1/overview', role: 'admin' },
  { method: 'GET', path: '/healthz', role: 'open' },
]
/** Of an id that each of them would take. */
const withId = (route: string) => route.replace('{id}', route.includes('tokens') ? '0123456789abcdef' : '1')

describe('the API of the managing node', () => {
  let directory: string
  let world: ManagerWorld
  let admin: string
  let files = 0
  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-manager-'))
  })
  beforeEach(async () => {
    await world?.manager.stop()
    const file = path.join(directory, `${++files}.db`)
    world = await startManager({ database: { kind: 'sqlite', file }, armory: { kind: 'database' } })
    admin = await world.token({ kind: 'admin' })
  })
  after(async () => {
    await world.manager.stop()
    await rm(directory, { recursive: true })
  })

  const ask = (question: ApiQuestion) => world.ask(question)

  it('describes itself: each route with its body, its answers and who may ask', async () => {
    const { body, status } = await ask({ path: '/api/v1/openapi.json' })
    assert.equal(status, 200)
    const document = body as unknown as OpenApi
    assert.match(document.openapi, /^3\.1\./)
    const listed = Object.entries(document.paths).flatMap(([route, operations]) =>
      Object.keys(operations).map(method => `${method.toUpperCase()} ${route}`),
    )
    assert.deepEqual(listed.sort(), ROUTES.map(({ method, path }) => `${method} ${path}`).sort())
    for (const { method, path, role, body: sent } of ROUTES) {
      const operation = document.paths[path][method.toLowerCase()]
      assert.ok(operation.summary, path)
      assert.deepEqual(operation.security ?? [], role === 'open' ? [] : [{ [role]: [] }], path)
      const schema = operation.requestBody?.content['application/json'].schema
      assert.equal(schema?.type, sent === undefined ? undefined : 'object', path)
      if (sent) assert.deepEqual(Object.keys(schema?.properties ?? {}).sort(), Object.keys(sent).sort(), path)
      const statuses = Object.keys(operation.responses)
      assert.ok(
        statuses.some(known => known.startsWith('2')),
        path,
      )
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      const parameters = (operation.parameters ?? []).filter(parameter => parameter.in === 'path')
      assert.deepEqual(
        parameters.map(({ name }) => name),
        named,
        path,
      )
    }
    assertReferences(document)
  })

  for (const { method, path: route, role, body } of ROUTES.filter(({ role }) => role !== 'open')) {
    it(`${method} ${route} is for ${role === 'admin' ? 'administrators' : 'that supernode'} alone`, async () => {
      const token = await world.token()
      const credential = await joinAt(world, 'other')
      const expired = await world.token({ kind: 'admin', lifetimeMs: 1_000 })
      world.clock.moveOn(1_000)
      const question = { method, path: withId(route), body }
      const said = async (bearer?: string, headers?: Record<string, string>) => {
        const { status, body } = await ask({ ...question, bearer, headers })
        return `${status} ${body.code}`
      }
      const invalid = '401 CREDENTIAL_INVALID'
      assert.equal(await said(), invalid)
      assert.equal(await said('forged'), invalid)
      assert.equal(await said(`${admin.split('.')[0]}.${'A'.repeat(43)}`), invalid)
      assert.equal(await said(expired), invalid)
      assert.equal(await said(undefined, { authorization: `Basic ${btoa(`admin:${admin}`)}` }), invalid)
      assert.equal(await said(token), role === 'admin' ? '403 CREDENTIAL_REFUSED' : invalid)
      assert.equal(await said(credential), role === 'admin' ? invalid : '403 CREDENTIAL_REFUSED')
      if (role === 'supernode') assert.equal(await said(admin), invalid)
    })
  }

  for (const { method, path: route, role, body } of ROUTES.filter(({ body }) => body !== undefined)) {
    it(`${method} ${route} refuses bodies that are none of its own`, async () => {
      const bearer = role === 'admin' ? admin : role === 'supernode' ? await joinAt(world, '1') : undefined
      const send = (sent: unknown, headers?: Record<string, string>) =>
        ask({ method, path: withId(route), body: sent, bearer, headers })
      await refused(send({ ...body, unknown: 1 }), 'REQUEST_INVALID', /unknown/)
      await refused(send(`${JSON.stringify(body)}}`), 'REQUEST_INVALID')
      await refused(send('{"__proto__": {"a": 1}}'), 'REQUEST_INVALID')
      await refused(send(''), 'REQUEST_INVALID')
      await refused(send('null'), 'REQUEST_INVALID')
      await refused(send([body]), 'REQUEST_INVALID')
      await refused(send({}), 'REQUEST_INVALID')
      await refused(send(body, { 'content-type': 'text/plain' }), 'REQUEST_INVALID', /application\/json/)
      const padded = ' '.repeat(64 * 1024) + JSON.stringify(body)
      await refused(send(padded), 'REQUEST_TOO_LARGE')
      for (const key of Object.keys(body!)) {
        await refused(send({ ...body, [key]: { $ne: null } }), 'REQUEST_INVALID', new RegExp(key))
        await refused(send({ ...body, [key]: 'a\0b' }), 'REQUEST_INVALID', new RegExp(key))
        await refused(send({ ...body, [key]: 'x'.repeat(2_000) }), 'REQUEST_INVALID', new RegExp(key))
      }
    })
  }

  it('what a refused body held is not repeated', async () => {
    const secret = 'hidden-value'
    const answers = [
      await ask({ path: '/api/v1/join', body: { token: [secret], supernodeId: 5, [`k${secret}`]: 1 } }),
      await ask({ path: '/api/v1/join', body: `{"token": "${secret}" x` }),
      await ask({ path: `/api/v1/${secret}` }),
      await ask({ path: '/api/v1/overview', bearer: secret }),
    ]
    // The name of a field that nobody knows is the one thing that helps.
    answers[0] = { ...answers[0], text: answers[0].text.replaceAll(`k${secret}`, '') }
    for (const { text } of answers) assert.ok(!text.includes(secret), text)
    assert.ok(!world.log.text.includes(secret))
  })

  it('what is not there is said so, in the form of every error', async () => {
    const missing: ApiQuestion[] = [
      { path: '/' },
      { path: '/api/v1/nothing' },
      { path: '/api/v1/locate', method: 'GET' },
      { path: '/api/v1/supernodes/none', method: 'DELETE', bearer: admin },
      { path: '/api/v1/supernodes/none/drain', method: 'PUT', body: { isDraining: true }, bearer: admin },
      { path: '/api/v1/tokens/0123456789abcdef', method: 'DELETE', bearer: admin },
      { path: '/api/v1/armory/entries/77', method: 'DELETE', bearer: admin },
      { path: '/api/v1/armory/entries/77', method: 'PUT', body: ENTRY, bearer: admin },
    ]
    for (const question of missing) await refused(ask(question), 'REQUEST_NOT_FOUND')
    const wrong: ApiQuestion[] = [
      { path: '/api/v1/%', method: 'GET' },
      { path: '/api/v1/armory/entries/-1', method: 'DELETE', bearer: admin },
      { path: '/api/v1/armory/entries/1e99', method: 'DELETE', bearer: admin },
      { path: '/api/v1/tokens/x', method: 'DELETE', bearer: admin },
      { path: '/api/v1/armory/entries?after=x', bearer: admin },
      { path: '/api/v1/armory/entries?before=1', bearer: admin },
      { path: `/api/v1/supernodes/${'x'.repeat(257)}`, method: 'DELETE', bearer: admin },
      { path: '/api/v1/supernodes/a%00b', method: 'DELETE', bearer: admin },
    ]
    for (const question of wrong) await refused(ask(question), 'REQUEST_INVALID')
  })

  it('what is no HTTP, or has too long a head, gets an answer of the same form', async () => {
    for (const [sent, status, code] of [
      ['what is this?\r\n\r\n', '400', 'REQUEST_INVALID'],
      [`GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`, '431', 'REQUEST_TOO_LARGE'],
    ]) {
      const socket = connect(world.manager.port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(sent)
      const text = Buffer.concat(await socket.toArray()).toString()
      assert.ok(text.startsWith(`HTTP/1.1 ${status} `), text)
      assert.equal(JSON.parse(text.split('\r\n\r\n')[1]).code, code)
    }
  })

  it('who is refused again and again must wait, and others need not', async () => {
    const question = { path: '/api/v1/overview', bearer: 'guess', from: '127.0.0.5' }
    for (let i = 0; i < 20; i++) assert.equal((await ask(question)).status, 401)
    const waits = await ask({ ...question, bearer: admin })
    assert.deepEqual(
      [waits.status, waits.body.code, waits.headers['retry-after']],
      [503, 'MANAGER_OVERLOADED', '1'],
    )
    await refused(
      ask({ path: '/api/v1/join', body: { token: 'x', supernodeId: 'a' }, from: '127.0.0.5' }),
      'MANAGER_OVERLOADED',
    )
    assert.equal((await ask({ path: '/api/v1/overview', bearer: admin, from: '127.0.0.6' })).status, 200)
    assert.equal((await ask({ path: '/api/v1/locate', body: LOCATE, from: '127.0.0.5' })).status, 200)
    world.clock.moveOn(10_000)
    assert.equal((await ask({ ...question, bearer: admin })).status, 200)
  })

  it('a join needs a token that is good now, also from this host', async () => {
    const join = (token: string, supernodeId = 'a') =>
      ask({ path: '/api/v1/join', body: { token, supernodeId } })
    const short = await world.token({ lifetimeMs: 1_000 })
    const once = await world.token({ usesMax: 1 })
    const revoked = await world.token()
    const number = revoked.split('.')[0]
    const gone = await ask({ method: 'DELETE', path: `/api/v1/tokens/${number}`, bearer: admin })
    assert.equal(gone.status, 204)
    world.clock.moveOn(1_000)
    assert.equal((await join(once)).status, 200)
    await refused(join(once, 'b'), 'CREDENTIAL_INVALID', /used up/)
    await refused(join(short), 'CREDENTIAL_INVALID', /expired/)
    await refused(join(revoked), 'CREDENTIAL_INVALID', /revoked/)
    await refused(join(admin), 'CREDENTIAL_REFUSED')
    await refused(join('forged'), 'CREDENTIAL_INVALID')
    await refused(join(`${number}.${'A'.repeat(43)}`), 'CREDENTIAL_INVALID', /not one of this cluster/)
  })

  it('tokens are made, listed without their secrets, and revoked', async () => {
    const made = await ask({ path: '/api/v1/tokens', body: { ...TOKEN, usesMax: 3 }, bearer: admin })
    assert.equal(made.status, 201)
    assert.equal(made.headers['cache-control'], 'no-store')
    const { token, view } = made.body as unknown as { token: string; view: { id: string; state: string } }
    assert.equal(view.state, 'valid')
    const listed = await ask({ path: '/api/v1/tokens', bearer: admin })
    const { tokens } = listed.body as unknown as { tokens: object[] }
    assert.deepEqual(tokens[0], view)
    for (const secret of [token, admin].map(one => one.split('.')[1]))
      assert.ok(!listed.text.includes(secret))
    await ask({ method: 'DELETE', path: `/api/v1/tokens/${view.id}`, bearer: admin })
    const after = (await ask({ path: '/api/v1/tokens', bearer: admin })).body as unknown as typeof listed.body
    assert.equal((after as unknown as { tokens: { state: string }[] }).tokens[0].state, 'revoked')
    for (const lifetimeMs of [0, 999, -1, 1.5, 10 * 366 * 86_400_000])
      await refused(
        ask({ path: '/api/v1/tokens', body: { ...TOKEN, lifetimeMs }, bearer: admin }),
        'REQUEST_INVALID',
        /lifetimeMs/,
      )
  })

  it('supernodes are listed with what they said, and their credentials with nobody', async () => {
    const credential = await joinAt(world, 'a')
    await joinAt(world, 'b', '127.0.0.2')
    await ask({ method: 'DELETE', path: '/api/v1/supernodes/a/lease', bearer: credential })
    const { text, body } = await ask({ path: '/api/v1/supernodes', bearer: admin })
    assert.ok(!text.includes(credential))
    const { supernodes } = body as unknown as { supernodes: { id: string; state: string; load: object }[] }
    assert.deepEqual(
      supernodes.map(({ id, state }) => [id, state]),
      [
        ['a', 'expired'],
        ['b', 'active'],
      ],
    )
    assert.deepEqual(supernodes[1].load, leaseOf('').load)
    const summary = (await ask({ path: '/api/v1/overview', bearer: admin })).body as unknown as {
      supernodes: object
      load: object
      zones: object
    }
    assert.deepEqual(summary.supernodes, { active: 1, draining: 0, expired: 1 })
    assert.deepEqual(summary.load, { peers: 1, tasks: 2, sentBytesPerSecond: 3 })
    assert.deepEqual(summary.zones, [{ zone: null, supernodes: 1 }])
  })

  it('armory entries count from the answer on, and nonsense is refused whole', async () => {
    const placeOf = async (address: string) => {
      const { body } = await ask({ path: '/api/v1/locate', body: { ...LOCATE, addresses: [address] } })
      return (body as unknown as { place: { idc: string | null } }).place.idc
    }
    assert.equal(await placeOf('10.1.1.1'), null)
    const made = await ask({ path: '/api/v1/armory/entries', body: { entries: [ENTRY] }, bearer: admin })
    assert.equal(made.status, 201)
    assert.equal(await placeOf('10.1.1.1'), 'i')
    const { entries } = made.body as unknown as { entries: { id: number }[] }
    const one = `/api/v1/armory/entries/${entries[0].id}`
    const replaced = await ask({ method: 'PUT', path: one, body: { ...ENTRY, idc: 'other' }, bearer: admin })
    assert.equal(replaced.status, 200)
    assert.equal(await placeOf('10.1.1.1'), 'other')
    for (const nonsense of [
      { ...ENTRY, cidr: '10.0.0.0/33' },
      { ...ENTRY, cidr: "10.0.0.0/8'; drop table armory_entries" },
      { ...ENTRY, hostName: 'x' },
      { ...ENTRY, cidr: null },
      { ...ENTRY, cidr: null, hostName: 'a b' },
      { ...ENTRY, idc: '' },
    ]) {
      const sent = { entries: [{ ...ENTRY, cidr: '11.0.0.0/8' }, nonsense] }
      await refused(ask({ path: '/api/v1/armory/entries', body: sent, bearer: admin }), 'REQUEST_INVALID')
      await refused(ask({ method: 'PUT', path: one, body: nonsense, bearer: admin }), 'REQUEST_INVALID')
    }
    const listed = await ask({ path: '/api/v1/armory/entries', bearer: admin })
    assert.deepEqual(listed.body as unknown, {
      entries: [{ id: entries[0].id, entry: { ...ENTRY, idc: 'other' } }],
      next: null,
    })
    assert.equal((await ask({ method: 'DELETE', path: one, bearer: admin })).status, 204)
    assert.equal(await placeOf('10.1.1.1'), null)
  })

  it('SQL in names is kept as it is, and does nothing', async () => {
    const name = `'; drop table supernodes; -- " or 1=1`
    const credential = await joinAt(world, name)
    assert.equal((await renewAt(world, { id: name, credential })).status, 200)
    await ask({ path: '/api/v1/tokens', body: { ...TOKEN, name }, bearer: admin })
    const listed = (await ask({ path: '/api/v1/supernodes', bearer: admin })).body as unknown as {
      supernodes: { id: string }[]
    }
    assert.deepEqual(
      listed.supernodes.map(({ id }) => id),
      [name],
    )
    await refused(
      ask({
        method: 'DELETE',
        path: `/api/v1/supernodes/${encodeURIComponent("x' or '1'='1")}`,
        bearer: admin,
      }),
      'REQUEST_NOT_FOUND',
    )
    assert.equal((await renewAt(world, { id: name, credential })).status, 200)
  })

  it('secrets are in no line of the log', async () => {
    const token = await world.token()
    const joined = await ask({ path: '/api/v1/join', body: { token, supernodeId: 'a' } })
    const { credential, clusterSecret } = joined.body as unknown as Record<string, string>
    await renewAt(world, { id: 'a', credential })
    await renewAt(world, { id: 'b', credential })
    await ask({ path: '/api/v1/tokens', body: TOKEN, bearer: admin })
    await ask({ path: `/api/v1/tokens/${token}`, method: 'DELETE', bearer: admin })
    await ask({ path: '/api/v1/overview', bearer: token })
    await ask({ path: `/api/v1/supernodes/${credential}/lease`, method: 'DELETE', bearer: 'x' })
    for (const secret of [token.split('.')[1], admin.split('.')[1], credential, clusterSecret])
      assert.ok(secret.length > 40 && !world.log.text.includes(secret))
    const messages = new Set(world.log.lines.map(({ message }) => message))
    for (const message of ['supernode joined', 'supernode is there', 'token made', 'request refused'])
      assert.ok(messages.has(message), message)
  })
})

async function refused(answer: Promise<ApiAnswer>, code: string, says?: RegExp): Promise<void> {
  const { status, body, headers, text } = await answer
  assert.ok(isErrorCode(body.code), text)
  assert.equal(body.code, code, text)
  assert.equal(status, ERROR_TABLE[body.code].httpStatus)
  assert.deepEqual(Object.keys(body), ['code', 'message', 'hint'])
  assert.equal(body.hint, ERROR_TABLE[body.code].hint)
  assert.match(String(headers['content-type']), /^application\/json/)
  assert.equal(headers['www-authenticate'], status === 401 ? 'Bearer' : undefined)
  if (says) assert.match(body.message, says)
}

type OpenApi = {
  openapi: string
  paths: Record<string, Record<string, Operation>>
}
type Schema = { type?: string; properties?: object }
type Operation = {
  summary?: string
  security?: object[]
  parameters?: { in: string; name: string }[]
  requestBody?: { content: { 'application/json': { schema: Schema } } }
  responses: Record<string, object>
}

/** Each `$ref` leads somewhere. */
function assertReferences(document: object): void {
  const visit = (node: unknown) => {
    if (typeof node !== 'object' || node === null) return
    const { $ref } = node as { $ref?: string }
    if (typeof $ref === 'string') {
      const parts = $ref.replace(/^#\//, '').split('/')
      const target = parts.reduce<unknown>((at, part) => (at as Record<string, unknown>)?.[part], document)
      assert.ok(target !== undefined, $ref)
    }
    for (const child of Object.values(node)) visit(child)
  }
  visit(document)
}
