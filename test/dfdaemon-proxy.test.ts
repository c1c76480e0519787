import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { after, before, describe, test } from 'node:test'
import { parseCidr } from '../src/core/ip-address.ts'
import { createAuthority } from '../src/dfdaemon/proxy/certificates.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import {
  connectThrough,
  type ForwardProxyScene,
  openForwardProxyScene,
  readToEnd,
} from './support/forward-proxy-scene.ts'
import { type RawAnswer, RawClient } from './support/raw-client.ts'

const LOOPBACK = [parseCidr('127.0.0.1/32')]
const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`
const authority = await createAuthority({
  commonName: 'test',
  lifetimeMs: 3_600_000,
  now: systemClock.wallNow(),
})

/** One request on a connection of its own. */
async function ask(port: number, lines: readonly string[], body = ''): Promise<RawAnswer> {
  const client = await RawClient.connect(port)
  try {
    return await client.send([...lines, '', body].join('\r\n')).answer()
  } finally {
    client.socket.destroy()
  }
}

const get = (port: number, url: string, ...fields: string[]) =>
  ask(port, [`GET ${url} HTTP/1.1`, 'Host: any.example', ...fields])

const messageOf = ({ body }: { body: Buffer | string }) => JSON.parse(body.toString()).errors[0].message

const ownAddresses = Object.values(networkInterfaces())
  .flatMap(addresses => addresses ?? [])
  .filter(({ address }) => !address.startsWith('fe80'))
  .map(({ address, family }) => (family === 'IPv6' ? `[${address}]` : address))

describe('requests that name their whole URL', () => {
  let scene: ForwardProxyScene
  let base = ''
  before(async () => {
    scene = await openForwardProxyScene(({ origin, secureOrigin }) => {
      const rule = { usesHttps: false, isDirect: false, redirect: null }
      const host = {
        pattern: new RegExp(`^localhost:${secureOrigin.port}$`),
        trust: { authorities: secureOrigin.authority, isInsecure: false },
      }
      return {
        proxy: {
          rules: [
            { ...rule, pattern: /blobs\/sha256/ },
            { ...rule, pattern: /^http:\/\/moved\.example/, redirect: `127.0.0.1:${origin.port}` },
            { ...rule, pattern: /\/secured/, usesHttps: true, isDirect: true },
          ],
          hijack: { ...authority, hosts: [host] },
        },
      }
    })
    base = `http://127.0.0.1:${scene.origin.port}`
  })
  after(() => scene.close())

  const asked = () => scene.origin.requests.at(-1)!

  test('go where the URL says, with what is not for one connection alone', async () => {
    const own = ['Host: elsewhere.example', 'X-Kept: 1', 'X-Named: 1', 'Connection: keep-alive, X-Named']
    const proxys = ['Proxy-Connection: keep-alive', 'Proxy-Authorization: Basic eDp5', 'TE: trailers']
    const { status, body } = await ask(scene.daemon.port, [`GET ${base}/a?b=%2F HTTP/1.1`, ...own, ...proxys])
    assert.deepEqual([status, body.toString()], [200, 'GET /a?b=%2F '])
    const { host, 'x-kept': kept, ...rest } = asked().headers
    assert.deepEqual([host, kept], [`127.0.0.1:${scene.origin.port}`, '1'])
    for (const name of ['x-named', 'proxy-connection', 'proxy-authorization', 'te']) {
      assert.ok(!(name in rest), `${name} was passed on`)
    }
  })

  test('are sent with their bodies', async () => {
    const lines = [`POST ${base}/up HTTP/1.1`, 'Host: a', 'Content-Length: 5']
    assert.equal((await ask(scene.daemon.port, lines, 'hello')).body.toString(), 'POST /up hello')
  })

  test('are asked of the swarm where a rule says so, by digest where the path has one', async () => {
    const before = scene.orders.length
    const url = `${base}/v2/lib/a/blobs/${DIGEST}`
    await get(scene.daemon.port, url)
    assert.partialDeepStrictEqual(scene.orders.slice(before), [{ digest: DIGEST }])
    await get(scene.daemon.port, `${base}/v2/lib/a/blobs/sha256-of-something`)
    assert.partialDeepStrictEqual(scene.orders.slice(before + 1), [{ digest: null }])
  })

  test('are not asked of the swarm where no rule fits, or nothing is to be read', async () => {
    const before = scene.orders.length
    await get(scene.daemon.port, `${base}/v2/lib/a/manifests/1`)
    const post = [`POST ${base}/v2/lib/a/blobs/${DIGEST} HTTP/1.1`, 'Host: a', 'Content-Length: 0']
    assert.equal((await ask(scene.daemon.port, post)).body.toString(), 'blob')
    assert.equal(scene.orders.length, before)
  })

  test('go to another host where a rule redirects them', async () => {
    const before = scene.orders.length
    assert.equal((await get(scene.daemon.port, 'http://moved.example:99/x')).body.toString(), 'GET /x ')
    assert.equal(scene.orders.length, before + 1)
    const post = ['POST http://moved.invalid/x HTTP/1.1', 'Host: a', 'Content-Length: 0']
    assert.equal((await ask(scene.daemon.port, post)).status, 502)
  })

  test('use HTTPS where a rule says so, and believe whom the settings of that host say', async () => {
    const { port } = scene.secureOrigin
    const { status, body } = await get(scene.daemon.port, `http://localhost:${port}/secured`)
    assert.deepEqual([status, body.toString()], [200, 'GET /secured '])
  })

  test('are not sent to a server whose certificate nobody vouches for', async () => {
    const before = scene.secureOrigin.requests.length
    const { status, body } = await get(scene.daemon.port, `https://127.0.0.1:${scene.secureOrigin.port}/`)
    assert.equal(status, 502)
    assert.equal(JSON.parse(body.toString()).errors[0].code, 'ORIGIN_TLS')
    assert.equal(scene.secureOrigin.requests.length, before)
  })

  for (const target of [
    'ftp://127.0.0.1/',
    'http://user:secret@127.0.0.1/',
    'http:///path',
    'http://127.0.0.1:99999/',
    'http://127.0.0.1/#fragment',
    '*',
  ]) {
    test(`have no answer where the target is ${target}`, async () => {
      const answer = await ask(scene.daemon.port, [`OPTIONS ${target} HTTP/1.1`, 'Host: a'])
      assert.equal(answer.status, 400)
      assert.match(messageOf(answer), /^a proxy is asked for http:/)
    })
  }

  test('do not go to ports of other protocols, nor does CONNECT', async () => {
    for (const port of [22, 25, 6667]) {
      const answer = await get(scene.daemon.port, `http://127.0.0.1:${port}/`)
      assert.equal(answer.status, 403)
      assert.equal(messageOf(answer), `port ${port} is for another protocol than HTTP`)
      const { head, socket } = await connectThrough(scene.daemon.port, `127.0.0.1:${port}`)
      assert.equal(head.status, 403)
      assert.equal(messageOf({ body: await readToEnd(socket) }), messageOf(answer))
    }
  })

  for (const host of ['127.0.0.1', 'localhost', '127.1', '[::ffff:127.0.0.1]', '0.0.0.0', ...ownAddresses]) {
    test(`do not go to the daemon itself at ${host}, nor does CONNECT`, async () => {
      const { port } = scene.daemon
      const { status } = await get(port, `http://${host}:${port}/v2/`)
      const { head, socket } = await connectThrough(port, `${host}:${port}`)
      socket.destroy()
      assert.deepEqual([status, head.status], [508, 508])
    })
  }

  test('are not taken where their length is said in two ways', async () => {
    const before = scene.origin.requests.length
    const lines = [`POST ${base}/ HTTP/1.1`, 'Host: a', 'Content-Length: 4', 'Transfer-Encoding: chunked']
    const { status } = await ask(scene.daemon.port, lines, '0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n')
    assert.equal(status, 400)
    assert.equal(scene.origin.requests.length, before)
  })

  test('are logged once for each client and cause where they are refused', () => {
    const refusals = scene.log.lines.filter(({ facts }) =>
      JSON.stringify(facts).includes('proxy destination'),
    )
    assert.equal(refusals.length, 1)
  })
})

describe('a proxy that wants credentials', () => {
  const pair = 'puller:open sesame'
  const right = `Proxy-Authorization: Basic ${Buffer.from(pair).toString('base64')}`
  const wrong = `Proxy-Authorization: Basic ${Buffer.from('puller:wrong').toString('base64')}`
  let scene: ForwardProxyScene
  before(async () => {
    const [user, password] = pair.split(':')
    scene = await openForwardProxyScene(() => ({
      clients: { allowed: LOOPBACK, credentials: { user, password } },
    }))
  })
  after(() => scene.close())

  for (const [shown, fields] of [
    ['none', []],
    ['wrong ones', [wrong]],
  ] as const) {
    test(`asks a client for them that shows ${shown}`, async () => {
      const { port } = scene.daemon
      const answer = await get(port, `http://127.0.0.1:${scene.origin.port}/`, ...fields)
      const { head, socket } = await connectThrough(port, `127.0.0.1:${scene.origin.port}`, { fields })
      for (const { status, headers } of [answer, head]) {
        assert.equal(status, 407)
        assert.equal(headers.get('proxy-authenticate'), 'Basic realm="dragonfly", charset="UTF-8"')
      }
      await readToEnd(socket)
      assert.equal(scene.origin.requests.length, 0)
    })
  }

  test('serves a client that shows them, tells nobody, and wants none for the mirror', async () => {
    const { port } = scene.daemon
    assert.equal((await get(port, `http://127.0.0.1:${scene.origin.port}/a`, right)).status, 200)
    const target = `127.0.0.1:${scene.origin.port}`
    const { head, socket } = await connectThrough(port, target, { fields: [right] })
    assert.equal(head.status, 200)
    socket.destroy()
    assert.equal((await get(port, '/v2/')).body.toString(), 'blob')
    const heard = JSON.stringify(scene.origin.requests) + scene.log.text
    assert.ok(!heard.includes(right.slice(-20)) && !heard.includes('sesame'))
  })
})

describe('a client whose address is not allowed', () => {
  let scene: ForwardProxyScene
  before(async () => {
    scene = await openForwardProxyScene()
  })
  after(() => scene.close())

  for (const line of [
    'GET / HTTP/1.1',
    'GET http://127.0.0.1:1234/ HTTP/1.1',
    'CONNECT a.example:443 HTTP/1.1',
  ]) {
    test(`is refused ${line.split(' ', 1)} ${line.split(' ')[1]}, and its connection closed`, async () => {
      const socket = connect({ port: scene.daemon.port, host: '127.0.0.1', localAddress: '127.0.0.2' })
      await once(socket, 'connect')
      socket.write(`${line}\r\nHost: a\r\n\r\n`)
      assert.match(await readToEnd(socket), /^HTTP\/1\.1 403 Forbidden\r\n/)
    })
  }

  test('is logged once', () => {
    const lines = scene.log.lines.filter(({ facts }) => JSON.stringify(facts).includes('127.0.0.2'))
    assert.equal(lines.length, 1)
  })
})
