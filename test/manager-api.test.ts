import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { beforeEach, describe, it } from 'node:test'
import {
  type ApiQuestion,
  freshManager,
  joinAt,
  leaseOf,
  type ManagerWorld,
  refused,
} from './support/manager-world.ts'

/** Who may ask what, and what is refused, the same for all routes. */

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
  const fresh = freshManager()
  let world: ManagerWorld
  let admin: string
  beforeEach(() => {
    ;({ world, admin } = fresh)
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
})

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
