import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { request as askSecurely } from 'node:https'
import { connect, type Socket } from 'node:net'
import { after, beforeEach, describe, it } from 'node:test'
import { USUAL_LIMITS } from '../src/dfdaemon/listener.ts'
import { startFakeRegistry } from './support/dfdaemon-registry.ts'
import {
  ask,
  bytesOf,
  type DfdaemonWorld,
  type Got,
  registryAt,
  sendRaw,
  startDfdaemonWorld,
} from './support/dfdaemon-world.ts'
import { createSelfSigned } from './support/self-signed.ts'

/** What is no blob: it passes through unchanged, joined where many ask the same, and refused where it is ambiguous. */

const other = await startFakeRegistry()
const world = await startDfdaemonWorld(
  ({ url }) => ({
    mirror: {
      usual: registryAt(url),
      registries: new Map([
        ['other.example', registryAt(other.url)],
        ['other.example/team', registryAt(`${other.url}/base`)],
      ]),
    },
  }),
  { ...USUAL_LIMITS, headMs: 200, connections: 64 },
)
const { daemon, registry, log } = world
after(() => Promise.all([world.stop(), other.close()]))

beforeEach(() => {
  registry.intercept = null
})

const DIGEST = `sha256:${'a'.repeat(64)}`

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
}

describe('what is no blob', () => {
  it('passes through unchanged, both ways', async () => {
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
        ['Connection', 'close, X-Own'],
        ['X-Own', '1'],
        ['Transfer-Encoding', 'chunked'],
      ].flat(),
      body,
    })
    assert.equal(registry.requests.at(-1)!.url, '/v2/app/blobs/uploads/1?_state=a%2Fb&digest=%3a')
    assert.ok(Buffer.concat(parts).equals(body))
    const said = heard.filter((_, index) => index % 2 === 0 && /^(?:x-|accept|host$)/i.test(heard[index]))
    assert.deepEqual(said, ['host', 'X-One', 'Accept', 'Accept'])
    assert.ok(heard.includes(registry.host), 'the host is the registry')
    assert.equal(got.status, 202)
    assert.equal(got.statusText, 'Taken In')
    assert.equal(got.body.toString(), 'taken')
    assert.deepEqual(got.rawHeaders.slice(0, 10), [
      'Location',
      '/v2/app/blobs/uploads/1?_state=x%2Fy',
      'Set-Cookie',
      'a=1',
      'x-odd-CASE',
      '1',
      'Set-Cookie',
      'b=2',
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

describe('questions that many ask', () => {
  /** Answers wait until the test lets them go. */
  function holdAnswers(): ServerResponse[] {
    const held: ServerResponse[] = []
    registry.intercept = (_, response) => {
      held.push(response)
      return true
    }
    return held
  }

  async function untilHeld(held: ServerResponse[], count: number): Promise<void> {
    while (held.length < count) await settled()
    await settled()
  }

  const token = '/token?service=fake&scope=repository:app:pull'
  for (const [what, path] of [
    ['manifests', '/v2/app/manifests/latest'],
    ['tokens', token],
    ['tokens by proxy', registry.url + token],
  ]) {
    it(`are one question where they show the same: ${what}`, async () => {
      const held = holdAnswers()
      const authorization = { Authorization: 'Basic dTpw' }
      const asked = Array.from({ length: 10 }, () => ask(daemon.port, path, { headers: authorization }))
      const others = ask(daemon.port, path, { headers: { Authorization: 'Basic eDp5' } })
      await untilHeld(held, 2)
      assert.equal(held.length, 2)
      for (const response of held) {
        const [, , ...who] = response.req.headers.authorization!
        response.writeHead(200, { 'Docker-Content-Digest': DIGEST }).end(who.join(''))
      }
      for (const got of await Promise.all(asked)) {
        assert.equal(got.status, 200)
        assert.equal(got.headers['docker-content-digest'], DIGEST)
        assert.equal(got.body.toString(), 'sic dTpw')
      }
      assert.equal((await others).body.toString(), 'sic eDp5')
    })
  }

  it('go on when the first who asked has left, and end when all have', async () => {
    const held = holdAnswers()
    const first = ask(daemon.port, '/v2/app/manifests/left', {
      onRequest: request => request.once('finish', () => leave.push(() => request.destroy())),
    })
    const leave: (() => void)[] = []
    await untilHeld(held, 1)
    const second = ask(daemon.port, '/v2/app/manifests/left', {
      onRequest: request => request.once('finish', () => leave.push(() => request.destroy())),
    })
    while (leave.length < 2) await settled()
    await settled()
    leave[0]()
    await assert.rejects(first)
    await settled()
    assert.equal(held[0].destroyed, false)
    const closed = new Promise(resolve => held[0].once('close', resolve))
    leave[1]()
    await assert.rejects(second)
    await closed
    assert.equal(held.length, 1)
  })

  it('are sixteen at a time for one registry, where they differ', async () => {
    const held = holdAnswers()
    const asked = Array.from({ length: 20 }, (_, index) => ask(daemon.port, `/v2/app/manifests/${index}`))
    await untilHeld(held, 16)
    assert.equal(held.length, 16)
    for (let index = 0; index < 20; index++) {
      await untilHeld(held, index + 1)
      held[index].writeHead(200, { 'content-length': 1 }).end('m')
    }
    for (const got of await Promise.all(asked)) assert.equal(got.body.toString(), 'm')
  })

  it('are refused with a time to come back where more than a thousand wait already', async () => {
    const held = holdAnswers()
    const { daemon: wide, stop } = await startDfdaemonWorld(() => ({
      mirror: { usual: registryAt(registry.url), registries: new Map() },
    }))
    const refused: Got[] = []
    const tenth = Promise.withResolvers<void>()
    const asked = Array.from({ length: 16 + 1024 + 10 }, async (_, index) => {
      refused.push(await ask(wide.port, `/v2/app/manifests/${index}`))
      if (refused.length === 10) tenth.resolve()
    })
    await tenth.promise
    await settled()
    assert.equal(refused.length, 10)
    assert.equal(held.length, 16)
    for (const { status, headers, body } of refused) {
      assert.equal(status, 503)
      assert.equal(headers['retry-after'], '1')
      assert.equal(JSON.parse(body.toString()).errors[0].code, 'TOOMANYREQUESTS')
    }
    await Promise.all([stop(), Promise.allSettled(asked)])
  })

  it('pass through for each where the answer is large', async () => {
    const large = bytesOf(5 * 1024 * 1024)
    registry.intercept = (_, response) => {
      response.writeHead(200).end(large)
      return true
    }
    const both = await Promise.all([1, 2].map(() => ask(daemon.port, '/v2/app/manifests/large')))
    for (const got of both) assert.ok(got.body.equals(large))
  })
})

describe('bad input', () => {
  it('in a path is refused in the form of registries, and logged once', async () => {
    const count = registry.requests.length
    for (const path of [
      '/v2/../app/manifests/x',
      '/v2/app%2fmanifests/x',
      '/v2//app/manifests/x',
      '/v2/app\\x/manifests/x',
      `/v2/app/blobs/${DIGEST}0`,
      '/v2/app/manifests/x?ns=a/b',
    ]) {
      const got = await sendRaw(daemon.port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      assert.match(got, /^HTTP\/1\.1 400 [\s\S]*"errors":\[\{"code":"(?:NAME|DIGEST)_INVALID"/, path)
    }
    assert.equal(registry.requests.length, count)
    const logged = log.lines.filter(({ message }) => message === 'invalid request refused')
    const kinds = logged.map(({ facts }) => (facts as { what: string }).what)
    assert.deepEqual(kinds.filter(what => what === 'NAME_INVALID').length, 1)
    assert.deepEqual(kinds.filter(what => what === 'DIGEST_INVALID').length, 1)
  })

  const heads: [string, string, RegExp][] = [
    [
      'two lengths',
      'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx',
      /^HTTP\/1\.1 400 /,
    ],
    [
      'a length and chunks',
      'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    [
      'a coding that is no chunks',
      'POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    ['a folded line', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nA: 1\r\n 2\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['a name with a space', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['bare line feeds', 'GET /v2/ HTTP/1.1\nHost: x\n\n', /^HTTP\/1\.1 400 /],
    ['no host', 'GET /v2/ HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['a huge head', `GET /v2/ HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(70_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
    ['a head that does not end', 'GET /v2/ HTTP/1.1\r\nHost: x\r\n', /^HTTP\/1\.1 408 /],
  ]
  for (const [what, text, expected] of heads) {
    it(`${what}: is refused, closed, and never reaches the registry`, async () => {
      const count = registry.requests.length
      assert.match(await sendRaw(daemon.port, text), expected)
      assert.equal(registry.requests.length, count)
    })
  }

  it('of TLS on the plain port is answered with 400 at once', async () => {
    const hello = Buffer.from(`16030100fa010000f60303${'00'.repeat(240)}`, 'hex')
    const socket = connect(daemon.port, '127.0.0.1', () => socket.write(hello))
    const [first] = await new Promise<Buffer[]>(resolve => socket.once('data', data => resolve([data])))
    assert.match(first.toString('latin1'), /^HTTP\/1\.1 400 /)
    socket.destroy()
  })

  it('more connections than there may be are closed', async () => {
    const open = await Promise.all(
      Array.from(
        { length: 64 },
        () =>
          new Promise<Socket>(resolve => {
            const socket = connect(daemon.port, '127.0.0.1', () => resolve(socket))
          }),
      ),
    )
    assert.equal(await sendRaw(daemon.port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n'), '')
    for (const socket of open) socket.destroy()
  })
})

describe('a client on whose turn nothing happens for too long', () => {
  async function withStallLimit(action: (stalled: DfdaemonWorld) => Promise<void>): Promise<void> {
    const stalled = await startDfdaemonWorld(undefined, { ...USUAL_LIMITS, stallMs: 300 })
    try {
      await action(stalled)
    } finally {
      await stalled.stop()
    }
  }

  it('is dropped where it does not read its answer', () =>
    withStallLimit(async stalled => {
      const closed = Promise.withResolvers<void>()
      stalled.registry.intercept = (_, response) => {
        response.once('close', closed.resolve)
        response.writeHead(200)
        const write = () => {
          while (!response.destroyed && response.write(Buffer.alloc(1024 * 1024)));
          response.once('drain', write)
        }
        write()
        return true
      }
      const socket = connect(stalled.daemon.port, '127.0.0.1', () => {
        socket.write('GET /v2/app/tags/list HTTP/1.1\r\nHost: x\r\n\r\n')
      })
      socket.on('error', () => {}).pause()
      await closed.promise
      socket.destroy()
    }))

  it('is dropped where it does not end its body', () =>
    withStallLimit(async stalled => {
      stalled.registry.intercept = () => true
      const head = 'POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n'
      assert.equal(await sendRaw(stalled.daemon.port, `${head}ab`), '')
    }))

  it('is not dropped where it is the registry that takes its time', () =>
    withStallLimit(async stalled => {
      stalled.registry.intercept = (request, response) => {
        const isOver = Promise.withResolvers<string>()
        request.socket.once('close', () => isOver.resolve('dropped'))
        stalled.clock.schedule(900, () => isOver.resolve('ok'))
        void isOver.promise.then(text => response.end(text))
        return true
      }
      const got = await ask(stalled.daemon.port, '/v2/app/tags/list')
      assert.equal(got.body.toString(), 'ok')
    }))
})
