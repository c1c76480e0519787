import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { request as askSecurely } from 'node:https'
import { after, beforeEach, describe, it } from 'node:test'
import { startFakeRegistry } from './support/dfdaemon-registry.ts'
import { ask, bytesOf, registryAt, startDfdaemonWorld } from './support/dfdaemon-world.ts'
import { createSelfSigned } from './support/self-signed.ts'

/** What is no blob passes through unchanged, to the registry that is meant. */

const other = await startFakeRegistry()
const world = await startDfdaemonWorld(({ url }) => ({
  mirror: {
    usual: registryAt(url),
    registries: new Map([
      ['other.example', registryAt(other.url)],
      ['other.example/team', registryAt(`${other.url}/base`)],
    ]),
  },
}))
const { daemon, registry } = world
after(() => Promise.all([world.stop(), other.close()]))

beforeEach(() => {
  registry.intercept = null
})

/** In the order in which they came. */
function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1].toLowerCase() === name)
}

describe('what is no blob', () => {
  it('passes through unchanged, both ways, but for a Via of the daemon', async () => {
    const body = bytesOf(3_000_000)
    const parts: Buffer[] = []
    let heard: string[] = []
    registry.intercept = (request, response) => {
      heard = request.rawHeaders
      request.on('data', part => parts.push(part))
      request.on('end', () => {
        response.sendDate = false
        response.writeHead(202, 'Taken In', [
          'Location',
          '/v2/app/blobs/uploads/1?_state=x%2Fy',
          'Set-Cookie',
          'a=1',
          'x-odd-CASE',
          '1',
          'Set-Cookie',
          'b=2',
          'Via',
          '1.1 cache',
          'Content-Length',
          '5',
          'Connection',
          'X-Hop',
          'X-Hop',
          '1',
        ])
        response.end('taken')
      })
      return true
    }
    const got = await ask(daemon.port, '/v2/app/blobs/uploads/1?_state=a%2Fb&ns=&digest=%3a', {
      method: 'PATCH',
      // The length is not said, so it is sent in chunks.
      headers: [
        ['Host', 'mirror'],
        ['X-One', '1'],
        ['Accept', 'a'],
        ['Accept', 'b'],
        ['Via', '1.0 fred, 1.1 barney'],
        ['Connection', 'close, X-Own'],
        ['X-Own', '1'],
        ['Transfer-Encoding', 'chunked'],
      ].flat(),
      body,
    })
    assert.equal(registry.requests.at(-1)!.url, '/v2/app/blobs/uploads/1?_state=a%2Fb&digest=%3a')
    assert.ok(Buffer.concat(parts).equals(body))
    const said = heard.filter((_, index) => index % 2 === 0 && /^(?:x-|accept|host$|via)/i.test(heard[index]))
    assert.deepEqual(said, ['host', 'X-One', 'Accept', 'Accept', 'Via', 'Via'])
    assert.deepEqual(valuesOf(heard, 'via'), ['1.0 fred, 1.1 barney', '1.1 dragonfly'])
    assert.ok(heard.includes(registry.host), 'the host is the registry')
    assert.equal(got.status, 202)
    assert.equal(got.statusText, 'Taken In')
    assert.equal(got.body.toString(), 'taken')
    assert.deepEqual(valuesOf(got.rawHeaders, 'via'), ['1.1 cache', '1.1 dragonfly'])
    assert.deepEqual(got.rawHeaders.slice(0, 12), [
      'Location',
      '/v2/app/blobs/uploads/1?_state=x%2Fy',
      'Set-Cookie',
      'a=1',
      'x-odd-CASE',
      '1',
      'Set-Cookie',
      'b=2',
      'Via',
      '1.1 cache',
      'Content-Length',
      '5',
    ])
    assert.ok(!got.rawHeaders.includes('X-Hop'))
  })

  it('has the refusal of an upload as its answer, though nobody wanted the body', async () => {
    registry.intercept = (_, response) => {
      response.writeHead(401, { 'WWW-Authenticate': 'Bearer realm="x"', Connection: 'close' }).end('no')
      return true
    }
    const got = await ask(daemon.port, '/v2/app/blobs/uploads/', { method: 'POST', body: bytesOf(100_000) })
    assert.equal(got.status, 401)
    assert.equal(got.headers['www-authenticate'], 'Bearer realm="x"')
    assert.equal(got.body.toString(), 'no')
  })

  it('ends upstream when the client goes away, and at the client when the registry breaks off', async () => {
    const upstreamClosed = Promise.withResolvers<void>()
    registry.intercept = (_, response) => {
      response.on('close', upstreamClosed.resolve)
      response.writeHead(200, { 'content-length': 1000 }).write('x')
      return true
    }
    await ask(daemon.port, '/v2/app/tags/list', {
      onResponse: response => response.once('data', () => response.destroy()),
    })
    await upstreamClosed.promise
    registry.intercept = (_, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('x', () => response.destroy())
      return true
    }
    assert.equal((await ask(daemon.port, '/v2/app/tags/list')).isWhole, false)
  })

  it('is answered with 502 and the reason where the registry cannot be reached', async () => {
    const gone = await startFakeRegistry()
    await gone.close()
    const second = await startDfdaemonWorld(() => ({
      mirror: { usual: registryAt(gone.url), registries: new Map() },
    }))
    const got = await ask(second.daemon.port, '/v2/')
    await second.stop()
    assert.equal(got.status, 502)
    const [error] = JSON.parse(got.body.toString()).errors
    assert.equal(error.code, 'ORIGIN_UNREACHABLE')
    assert.match(error.message, /the connection was refused/)
    assert.ok(error.detail.hint.length > 0)
  })

  it('goes to the registry that containerd or a field names', async () => {
    const urlOfLast = () => other.requests.at(-1)!.url
    await ask(daemon.port, '/v2/app/manifests/1?ns=other.example')
    assert.equal(urlOfLast(), '/v2/app/manifests/1')
    await ask(daemon.port, '/v2/app/manifests/2?a=1&ns=other.example&b=%20')
    assert.equal(urlOfLast(), '/v2/app/manifests/2?a=1&b=%20')
    await ask(daemon.port, '/v2/team/app/manifests/3?ns=other.example')
    assert.equal(urlOfLast(), '/base/v2/team/app/manifests/3')
    await ask(daemon.port, '/v2/app/manifests/4', { headers: { 'X-Dragonfly-Registry': 'other.example' } })
    assert.equal(urlOfLast(), '/v2/app/manifests/4')
    assert.equal(other.requests.at(-1)!.headers['x-dragonfly-registry'], undefined)
    const count = other.requests.length
    await ask(daemon.port, '/v2/app/manifests/5')
    assert.equal(other.requests.length, count)
    assert.equal(registry.requests.at(-1)!.url, '/v2/app/manifests/5')
  })

  it('comes over TLS where the daemon has a certificate', async () => {
    const tls = createSelfSigned({ ipv4: '127.0.0.1' })
    const second = await startDfdaemonWorld(() => ({ tls }))
    const got = await new Promise<IncomingMessage>((resolve, reject) => {
      const at = {
        host: '127.0.0.1',
        port: second.daemon.port,
        path: '/debug/version',
        ca: tls.cert,
        agent: false,
      }
      askSecurely(at, resolve).once('error', reject).end()
    })
    assert.equal(got.statusCode, 200)
    await second.stop()
  })

  it('is the local endpoint where it has the name of one', async () => {
    const count = registry.requests.length
    const got = await ask(daemon.port, '/metrics')
    assert.match(got.body.toString(), /dragonfly_dfdaemon_requests_total/)
    assert.equal(registry.requests.length, count)
  })
})
