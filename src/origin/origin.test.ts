import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { createTestOrigins, failsWith, readAll, requestFor } from '../../test/support/origin-client.ts'
import { type OriginServer, startOriginServer } from '../../test/support/origin-server.ts'
import { createSelfSigned } from '../../test/support/self-signed.ts'

describe('the scheme picks the origin', () => {
  for (const url of ['gopher://h/', 'file:///etc/passwd', 'h/x', '', 'constructor:x', ' http://h/']) {
    test(`${JSON.stringify(url)} is a usage error`, async () => {
      const failure = await failsWith('USAGE', createTestOrigins().open(requestFor(url)))
      assert.match(failure.message, /http, https/)
      await failsWith('USAGE', createTestOrigins().probe(requestFor(url)))
    })
  }

  test('in any case of its letters', async () => {
    const server = await startOriginServer()
    const file = server.serve('/x', { lengthBytes: 10 })
    const answer = await createTestOrigins().open(requestFor(file.url.replace('http', 'HTTP')))
    assert.equal((await readAll(answer.body)).length, 10)
    await server.close()
  })
})

describe('https', () => {
  const certificate = createSelfSigned({ dns: 'localhost', ipv4: '127.0.0.1' })
  const misnamed = createSelfSigned({ dns: 'elsewhere.example' })
  let server: OriginServer
  let stranger: OriginServer
  before(async () => {
    server = await startOriginServer({ tls: certificate })
    stranger = await startOriginServer({ tls: misnamed })
  })
  after(() => Promise.all([server.close(), stranger.close()]))

  for (const host of ['localhost', '127.0.0.1']) {
    test(`brings content from ${host} where its CA is trusted`, async () => {
      const { url } = server.serve('/x', { lengthBytes: 3 * 1024 ** 2 })
      const answer = await createTestOrigins({ ca: certificate.cert }).open(
        requestFor(url.replace('127.0.0.1', host)),
      )
      assert.ok((await readAll(answer.body)).equals(server.expectedBytes('/x')))
      await server.when(({ connections }) => connections === 0)
    })
  }

  test('refuses a self-signed certificate, before any request', async () => {
    const file = server.serve('/x', { lengthBytes: 10 })
    const failure = await failsWith('ORIGIN_TLS', createTestOrigins().open(requestFor(file.url)))
    assert.match(failure.message, /^127\.0\.0\.1:\d+: /)
    assert.equal(file.requests.length, 0)
  })

  test('refuses the certificate of another name', async () => {
    const file = stranger.serve('/x', { lengthBytes: 10 })
    const origins = createTestOrigins({ ca: misnamed.cert })
    await failsWith('ORIGIN_TLS', origins.open(requestFor(file.url)))
    await failsWith('ORIGIN_TLS', origins.open(requestFor(file.url.replace('127.0.0.1', 'localhost'))))
    assert.equal(file.requests.length, 0)
  })

  test('tells that a port does not speak TLS', async () => {
    const plain = createServer(socket => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await new Promise<void>(resolve => plain.listen(0, '127.0.0.1', resolve))
    const { port } = plain.address() as AddressInfo
    await failsWith('ORIGIN_TLS', createTestOrigins().open(requestFor(`https://127.0.0.1:${port}/`)))
    plain.close()
  })

  test('resumes and redirects like http', async () => {
    server.serve('/from', { redirect: { to: '/x' } })
    server.serve('/x', { lengthBytes: 1000 })
    const validator = { etag: '"1-1000"', lastModified: null }
    const origins = createTestOrigins({ ca: certificate.cert })
    const answer = await origins.open(requestFor(`${server.url}/from`, { startByte: 400, validator }))
    assert.equal(answer.startByte, 400)
    assert.ok((await readAll(answer.body)).equals(server.expectedBytes('/x', 400)))
  })
})
