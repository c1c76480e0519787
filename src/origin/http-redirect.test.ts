import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createTestOrigins, failsWith, readAll, requestFor } from '../../test/support/origin-client.ts'
import { type OriginServer, startOriginServer } from '../../test/support/origin-server.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'

const SECRETS = [
  ['Authorization', 'Bearer secret'],
  ['Cookie', 'session=secret'],
  ['Proxy-Authorization', 'Basic secret'],
  ['X-Api-Key', 'secret'],
  ['PRIVATE-TOKEN', 'secret'],
  ['X-Amz-Security-Token', 'secret'],
] as const

const HARMLESS = [
  ['User-Agent', 'skopeo/1'],
  ['Accept', 'application/json'],
  ['Accept-Language', 'de'],
] as const

const certificate = createSelfSigned({ ipv4: '127.0.0.1' })
const origins = createTestOrigins({ ca: certificate.cert })
let server: OriginServer
let other: OriginServer
let secure: OriginServer

before(async () => {
  server = await startOriginServer()
  other = await startOriginServer()
  secure = await startOriginServer({ tls: certificate })
})
after(() => Promise.all([server, other, secure].map(each => each.close())))

async function fetchAll(url: string, headers: readonly (readonly [string, string])[] = []) {
  const answer = await origins.open(requestFor(url, { headers }))
  return readAll(answer.body)
}

describe('redirects', () => {
  for (const status of [301, 302, 303, 307, 308]) {
    test(`${status} leads to the content, with a relative Location`, async () => {
      server.serve('/a/from', { redirect: { to: '../b/to?q=1#part', status } })
      const file = server.serve('/b/to', { lengthBytes: 1000 })
      assert.ok((await fetchAll(`${server.url}/a/from`)).equals(server.expectedBytes('/b/to')))
      assert.equal(file.requests[0].target, '/b/to?q=1')
      assert.equal(file.requests[0].method, 'GET')
      await server.when(({ connections }) => connections === 0)
    })
  }

  test('ten in a row are followed, eleven are not', async () => {
    for (let i = 1; i <= 11; i++) server.serve(`/chain-${i}`, { redirect: { to: `/chain-${i - 1}` } })
    server.serve('/chain-0', { lengthBytes: 10 })
    assert.equal((await fetchAll(`${server.url}/chain-10`)).length, 10)
    const failure = await failsWith('ORIGIN_REFUSED', fetchAll(`${server.url}/chain-11`))
    assert.match(failure.message, /more than 10 times/)
  })

  test('in a circle end at once', async () => {
    const file = server.serve('/ring', { redirect: { to: '/ring-back' } })
    server.serve('/ring-back', { redirect: { to: '/ring' } })
    const failure = await failsWith('ORIGIN_REFUSED', fetchAll(`${server.url}/ring`))
    assert.match(failure.message, /circle/)
    assert.equal(file.requests.length, 1)
    await server.when(({ connections }) => connections === 0)
  })

  test('keep range and conditions', async () => {
    server.serve('/from', { redirect: { to: `${other.url}/to` } })
    const file = other.serve('/to', { lengthBytes: 1000 })
    const validator = { etag: '"1-1000"', lastModified: null }
    const answer = await origins.open(requestFor(`${server.url}/from`, { startByte: 400, validator }))
    assert.equal(answer.startByte, 400)
    assert.equal(file.requests[0].headers['if-range'], '"1-1000"')
    assert.ok((await readAll(answer.body)).equals(other.expectedBytes('/to', 400)))
  })

  test('octets beyond ASCII come back as they were', async () => {
    server.serve('/from', { redirect: { to: Buffer.from('/größe').toString('latin1') } })
    const file = server.serve('/gr%C3%B6%C3%9Fe', { lengthBytes: 10 })
    await fetchAll(`${server.url}/from`)
    assert.equal(file.requests.length, 1)
  })

  for (const [to, code] of [
    ['', 'ORIGIN_PROTOCOL'],
    ['ftp://127.0.0.1/file', 'ORIGIN_REFUSED'],
    ['file:///etc/passwd', 'ORIGIN_REFUSED'],
    ['http://', 'ORIGIN_REFUSED'],
    ['/a\u0000b', 'ORIGIN_REFUSED'],
  ] as const) {
    test(`to ${JSON.stringify(to)} is ${code}`, async () => {
      server.serve('/from', { redirect: { to } })
      await failsWith(code, fetchAll(`${server.url}/from`))
    })
  }

  test('are logged without path and query', async () => {
    const lines: unknown[] = []
    const log = { debug: (...line: unknown[]) => void lines.push(line) }
    server.serve('/from', { redirect: { to: `${other.url}/to?sig=secret` } })
    other.serve('/to', { lengthBytes: 1 })
    const answer = await createTestOrigins({ log }).open(requestFor(`${server.url}/from?sig=secret`))
    answer.body.close()
    assert.equal(lines.length, 1)
    assert.doesNotMatch(JSON.stringify(lines), /secret|from\?|\/to/)
  })
})

describe('credentials', () => {
  test('go along to the same scheme, host and port', async () => {
    server.serve('/from', { redirect: { to: `${server.url}/to` } })
    const file = server.serve('/to', { lengthBytes: 10, authorization: 'Bearer secret' })
    await fetchAll(`${server.url}/from`, SECRETS)
    assert.equal(file.requests[0].headers['x-api-key'], 'secret')
    assert.equal(file.requests[0].headers.cookie, 'session=secret')
  })

  const elsewhere: [title: string, url: () => string][] = [
    ['another port', () => other.url],
    ['another name of the same host', () => server.url.replace('127.0.0.1', 'localhost')],
    ['another scheme', () => secure.url],
  ]
  for (const [title, url] of elsewhere) {
    test(`do not go along to ${title}, and harmless headers do`, async () => {
      server.serve('/from', { redirect: { to: `${url()}/to` } })
      const file = [server, other, secure]
        .map(each => each.serve('/to', { lengthBytes: 10 }))
        .find(served => served.url.split(':')[2] === `${url().split(':')[2]}/to`)
      await fetchAll(`${server.url}/from`, [...SECRETS, ...HARMLESS])
      const [request] = file?.requests ?? []
      assert.ok(request)
      assert.doesNotMatch(JSON.stringify(request.headers), /secret/)
      for (const [name, value] of HARMLESS) assert.equal(request.headers[name.toLowerCase()], value)
    })
  }

  test('do not come back when a redirect leads back', async () => {
    server.serve('/from', { redirect: { to: `${other.url}/via` } })
    other.serve('/via', { redirect: { to: `${server.url}/to` } })
    const file = server.serve('/to', { lengthBytes: 10 })
    await fetchAll(`${server.url}/from`, SECRETS)
    assert.doesNotMatch(JSON.stringify(file.requests[0].headers), /secret/)
  })

  test('in the URL are Basic, for that origin only', async () => {
    const pair = `Basic ${Buffer.from('user:p@ss/ö').toString('base64')}`
    server.serve('/from', { authorization: pair, redirect: null, lengthBytes: 10 })
    const url = `${server.url}/from`.replace('http://', 'http://user:p%40ss%2F%C3%B6@')
    assert.equal((await fetchAll(url)).length, 10)
    server.serve('/from', { redirect: { to: `${other.url}/to` } })
    const file = other.serve('/to', { lengthBytes: 10 })
    await fetchAll(url)
    assert.equal(file.requests[0].headers.authorization, undefined)
  })

  test('in a Location are not used', async () => {
    server.serve('/from', { redirect: { to: `${other.url}/to`.replace('//', '//user:secret@') } })
    const file = other.serve('/to', { lengthBytes: 10 })
    await fetchAll(`${server.url}/from`)
    assert.equal(file.requests[0].headers.authorization, undefined)
  })
})

test('a redirect from https to http is refused, with and without credentials', async () => {
  secure.serve('/from', { redirect: { to: `${server.url}/to` } })
  const file = server.serve('/to', { lengthBytes: 10 })
  const failure = await failsWith('ORIGIN_REFUSED', fetchAll(`${secure.url}/from`))
  assert.match(failure.message, /from https to http/)
  await failsWith('ORIGIN_REFUSED', fetchAll(`${secure.url}/from`, SECRETS))
  assert.equal(file.requests.length, 0)
})
