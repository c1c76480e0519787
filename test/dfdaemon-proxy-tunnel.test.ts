import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import {
  closed,
  connectThrough,
  type ForwardProxyScene,
  listenAnywhere,
  openForwardProxyScene,
  readToEnd,
} from './support/forward-proxy-scene.ts'
import { startProxyServer } from './support/proxy-server.ts'
import { RawClient } from './support/raw-client.ts'

const MINUTE_MS = 60_000

/** A server whose connections the test leads by itself. */
type Far = { readonly target: string; next(): Promise<Socket>; close(): Promise<void> }

async function openFar(): Promise<Far> {
  const server = createServer({ allowHalfOpen: true })
  const waiting: ((socket: Socket) => void)[] = []
  const sockets: Socket[] = []
  server.on('connection', socket => {
    sockets.push(socket.on('error', () => {}))
    waiting.shift()!(socket)
  })
  return {
    target: `127.0.0.1:${await listenAnywhere(server)}`,
    next: () => new Promise(resolve => waiting.push(resolve)),
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

describe('a tunnel', () => {
  let scene: ForwardProxyScene
  let far: Far
  before(async () => {
    scene = await openForwardProxyScene()
    far = await openFar()
  })
  after(async () => {
    await scene.close()
    await far.close()
  })

  /** Both ends of one. */
  async function open(early = '', through = scene): Promise<{ near: Socket; far: Socket; status: number }> {
    const [{ head, socket }, other] = await Promise.all([
      connectThrough(through.daemon.port, far.target, { early }),
      far.next(),
    ])
    return { near: socket, far: other, status: head.status }
  }

  test('carries what both sides send, and each side’s end by itself', async () => {
    const tunnel = await open()
    assert.equal(tunnel.status, 200)
    const large = 'x'.repeat(4 * 1024 * 1024)
    tunnel.near.end(large)
    assert.equal((await readToEnd(tunnel.far)).length, large.length)
    tunnel.far.end('the answer comes after the end of the question')
    assert.equal(await readToEnd(tunnel.near), 'the answer comes after the end of the question')
  })

  test('carries what the client sends before it has an answer', async () => {
    const tunnel = await open('early')
    tunnel.near.end(' and late')
    assert.equal(await readToEnd(tunnel.far), 'early and late')
    tunnel.far.destroy()
  })

  test('breaks off on both sides when one does', async () => {
    for (const side of ['near', 'far'] as const) {
      const tunnel = await open()
      const other = side === 'near' ? tunnel.far : tunnel.near
      tunnel[side].resetAndDestroy()
      const [error] = await once(other.resume(), 'error')
      assert.equal(error.code, 'ECONNRESET')
    }
  })

  test('in which nothing moves is closed, and one in which something does is not', async () => {
    const [idle, used] = [await open(), await open()]
    const idleEnds = closed(idle.near)
    for (let minute = 0; minute < 11; minute++) {
      used.near.write('.')
      await once(used.far, 'data')
      scene.clock.moveOn(MINUTE_MS)
    }
    await idleEnds
    used.far.write('still here')
    assert.equal(String(await once(used.near, 'data')), 'still here')
    used.near.destroy()
  })

  test('to where nobody listens is refused with the reason', async () => {
    const nobody = await openFar()
    await nobody.close()
    const { head, socket } = await connectThrough(scene.daemon.port, nobody.target)
    assert.equal(head.status, 502)
    assert.match(await readToEnd(socket), /ORIGIN_UNREACHABLE.*the connection was refused/)
  })

  for (const target of ['a.example', 'a.example:0', 'user@a.example:443', 'http://a.example/', '[::1:443']) {
    test(`to ${target} is refused`, async () => {
      const { head, socket } = await connectThrough(scene.daemon.port, target)
      assert.equal(head.status, 400)
      assert.match(await readToEnd(socket), /CONNECT to host:port/)
    })
  }

  for (const field of ['Content-Length: 5', 'Content-Length: 0', 'Transfer-Encoding: chunked']) {
    test(`is refused to a request with ${field}, whose rest is no request`, async () => {
      const rest = `GET http://127.0.0.1:${scene.origin.port}/smuggled HTTP/1.1\r\nHost: a\r\n\r\n`
      const tunnel = await connectThrough(scene.daemon.port, far.target, { fields: [field], early: rest })
      assert.equal(tunnel.head.status, 400)
      assert.equal(tunnel.head.headers.get('connection'), 'close')
      await readToEnd(tunnel.socket)
      assert.equal(scene.origin.requests.length, 0)
    })
  }

  test('does not begin while an earlier answer is under way on its connection', async () => {
    const client = await RawClient.connect(scene.daemon.port)
    const waiting = far.next()
    client.send(`GET http://${far.target}/ HTTP/1.1\r\nHost: a\r\n\r\n`)
    const asked = await waiting
    client.send(`CONNECT ${far.target} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await client.closed()
    await assert.rejects(client.answer(), /the connection closed/)
    asked.destroy()
  })

  test('is one of many, and one more is refused', async () => {
    const own = await openForwardProxyScene()
    const tunnels: Awaited<ReturnType<typeof open>>[] = []
    while (tunnels.length < 1024) {
      tunnels.push(...(await Promise.all(Array.from({ length: 128 }, () => open('', own)))))
    }
    const { head, socket } = await connectThrough(own.daemon.port, far.target)
    assert.equal(head.status, 503)
    assert.match(await readToEnd(socket), /there are too many tunnels/)
    await own.close()
    await Promise.all(tunnels.map(({ near }) => closed(near)))
  })

  test('ends with the daemon', async () => {
    const own = await openForwardProxyScene()
    const [{ socket }] = await Promise.all([connectThrough(own.daemon.port, far.target), far.next()])
    await Promise.all([own.close(), closed(socket)])
    const refused = connect(own.daemon.port, '127.0.0.1')
    const [error] = await once(refused, 'error')
    assert.equal(error.code, 'ECONNREFUSED')
  })

  test('leads through the proxy that is set for the daemon', async () => {
    const outer = await startProxyServer({ credentials: 'who:pass' })
    const url = outer.url.replace('//', '//who:pass@')
    const own = await openForwardProxyScene(() => ({ proxies: { http: null, https: url, except: [] } }))
    const [{ head, socket }, other] = await Promise.all([
      connectThrough(own.daemon.port, far.target),
      far.next(),
    ])
    assert.equal(head.status, 200)
    other.end('through two')
    assert.equal(await readToEnd(socket), 'through two')
    assert.deepEqual(
      outer.requests.map(({ method, target }) => `${method} ${target}`),
      [`CONNECT ${far.target}`],
    )
    // That proxy would lead it back.
    const loop = await connectThrough(own.daemon.port, `localhost:${own.daemon.port}`)
    loop.socket.destroy()
    assert.equal(loop.head.status, 508)
    assert.equal(outer.requests.length, 1)
    await own.close()
    await outer.close()
  })
})
