import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { createAuthority } from '../src/dfdaemon/proxy/certificates.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import {
  closed,
  connectThrough,
  type ForwardProxyScene,
  NO_TRUST,
  openForwardProxyScene,
  readToEnd,
} from './support/forward-proxy-scene.ts'
import { RawClient } from './support/raw-client.ts'
import { createSelfSigned } from './support/self-signed.ts'

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`
const authority = await createAuthority({
  commonName: 'test',
  lifetimeMs: 3_600_000,
  now: systemClock.wallNow(),
})

const rule = { pattern: /blobs\/sha256/, usesHttps: false, isDirect: false, redirect: null }

/** TLS within the tunnel, as a client speaks it that trusts the authority alone. */
async function secure(socket: Socket, options: ConnectionOptions): Promise<TLSSocket> {
  const connection = connectTls({ socket, ca: authority.cert, ...options })
  await once(connection, 'secureConnect')
  return connection
}

/** Whether the daemon has seen the end of an answer before the clock is moved is not for the client to know. */
async function untilClosed(socket: Socket, moveClock: () => void): Promise<void> {
  const gone = closed(socket)
  while (!socket.closed) {
    moveClock()
    await Promise.race([gone, setImmediate()])
  }
}

describe('HTTPS that is opened', () => {
  let scene: ForwardProxyScene
  before(async () => {
    scene = await openForwardProxyScene(({ secureOrigin: { port, authority: vouching } }) => ({
      proxy: {
        rules: [rule],
        hijack: {
          ...authority,
          hosts: [
            {
              pattern: new RegExp(`^localhost:${port}$`),
              trust: { authorities: vouching, isInsecure: false },
            },
            { pattern: /^trusting\.example:/, trust: { authorities: null, isInsecure: true } },
            { pattern: /^127\.0\.0\.2:/, trust: NO_TRUST },
          ],
        },
      },
    }))
  })
  after(() => scene.close())

  /** A client of `host`, with a certificate that it believes. */
  async function open(
    host = 'localhost',
    options: ConnectionOptions = { servername: host },
  ): Promise<RawClient> {
    const { head, socket } = await connectThrough(scene.daemon.port, `${host}:${scene.secureOrigin.port}`)
    assert.equal(head.status, 200)
    return new RawClient(await secure(socket, options))
  }

  const get = (target: string, ...fields: string[]) =>
    [`GET ${target} HTTP/1.1`, 'Host: localhost', ...fields, '', ''].join('\r\n')

  test('goes on to its host, over one connection for many requests', async () => {
    const client = await open()
    for (const path of ['/a', '/b?c']) {
      const { status, body } = await client.send(get(path)).answer()
      assert.deepEqual([status, body.toString()], [200, `GET ${path} `])
    }
    const { headers } = scene.secureOrigin.requests.at(-1)!
    assert.equal(headers.host, `localhost:${scene.secureOrigin.port}`)
    client.socket.destroy()
  })

  test('has the rules applied to its URLs, so that a registry’s blobs are asked of the swarm', async () => {
    const client = await open()
    const { status, body } = await client.send(get(`/v2/lib/a/blobs/${DIGEST}`)).answer()
    assert.deepEqual([status, body.toString()], [200, 'blob'])
    assert.partialDeepStrictEqual(scene.orders.at(-1), {
      url: `https://localhost:${scene.secureOrigin.port}/v2/lib/a/blobs/${DIGEST}`,
      digest: DIGEST,
      authorities: scene.secureOrigin.authority,
      isInsecure: false,
    })
    client.socket.destroy()
  })

  test('is presented with a certificate for the host that CONNECT named, whatever the handshake says', async () => {
    let names: string | undefined
    const client = await open('localhost', {
      servername: 'other.example',
      checkServerIdentity: (_name, certificate) => {
        names = certificate.subjectaltname
        return undefined
      },
    })
    assert.equal(names, 'DNS:localhost')
    assert.equal((await client.send(get('/named')).answer()).body.toString(), 'GET /named ')
    client.socket.destroy()
  })

  test('is presented with a certificate for an address, which a client believes', async () => {
    const client = await open('127.0.0.2', { host: '127.0.0.2' })
    const { status, body } = await client.send(get('/')).answer()
    assert.equal(status, 502)
    assert.match(body.toString(), /"code":"ORIGIN_(TLS|UNREACHABLE)"/)
    client.socket.destroy()
  })

  test('of another host stays closed: the client sees that host’s own certificate', async () => {
    const { port, authority: ca } = scene.secureOrigin
    const { socket } = await connectThrough(scene.daemon.port, `127.0.0.1:${port}`)
    const client = new RawClient(await secure(socket, { ca, host: '127.0.0.1' }))
    assert.equal((await client.send(get('/closed')).answer()).body.toString(), 'GET /closed ')
    client.socket.destroy()
  })

  test('takes a whole URL of its host, and none of another', async () => {
    const client = await open()
    const own = `https://localhost:${scene.secureOrigin.port}/whole`
    assert.equal((await client.send(get(own)).answer()).body.toString(), 'GET /whole ')
    assert.equal((await client.send(get(`http://127.0.0.1:${scene.origin.port}/`)).answer()).status, 400)
    assert.equal(scene.origin.requests.length, 0)
    client.socket.destroy()
  })

  test('connects to nobody from within', async () => {
    const client = await open()
    client.send(`CONNECT 127.0.0.1:${scene.origin.port} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await client.closed()
    await assert.rejects(client.answer(), /the connection closed/)
  })

  test('that does not begin with TLS is closed', async () => {
    const target = `localhost:${scene.secureOrigin.port}`
    const { head, socket } = await connectThrough(scene.daemon.port, target, {
      early: 'GET / HTTP/1.1\r\n\r\n',
    })
    assert.equal(head.status, 200)
    assert.doesNotMatch(await readToEnd(socket), /HTTP/)
  })

  test('whose handshake takes too long is closed, and so is one whose request does', async () => {
    const target = `localhost:${scene.secureOrigin.port}`
    const { socket } = await connectThrough(scene.daemon.port, target)
    const ends = closed(socket)
    scene.clock.moveOn(10_000)
    await ends
    const client = await open()
    await client.send(get('/first')).answer()
    client.send('GET / HTTP/1.1\r\nHo')
    await untilClosed(client.socket, () => scene.clock.moveOn(75_000))
    assert.equal(scene.secureOrigin.requests.at(-1)!.line, 'GET /first')
  })

  test('is opened within a connection to the daemon that is TLS itself', async () => {
    const own = createSelfSigned({ ipv4: '127.0.0.1' })
    const inner = await openForwardProxyScene(({ secureOrigin: { authority: vouching } }) => ({
      tls: own,
      proxy: {
        rules: [],
        hijack: {
          ...authority,
          hosts: [{ pattern: /^localhost:/, trust: { authorities: vouching, isInsecure: false } }],
        },
      },
    }))
    const outer = connectTls({ port: inner.daemon.port, host: '127.0.0.1', ca: own.cert })
    await once(outer, 'secureConnect')
    outer.write(`CONNECT localhost:${inner.secureOrigin.port} HTTP/1.1\r\nHost: a\r\n\r\n`)
    assert.match(String(await once(outer, 'data')), /^HTTP\/1\.1 200 /)
    const client = new RawClient(await secure(outer, { servername: 'localhost' }))
    assert.equal((await client.send(get('/within')).answer()).body.toString(), 'GET /within ')
    client.socket.destroy()
    await inner.close()
  })
})
