import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, describe, it } from 'node:test'
import { USUAL_LIMITS } from '../src/dfdaemon/listener.ts'
import { sendRaw, startDfdaemonWorld } from './support/dfdaemon-world.ts'

/** Requests that are ambiguous or no HTTP are refused by the daemon, and no registry sees them. */

const world = await startDfdaemonWorld(undefined, { ...USUAL_LIMITS, headMs: 200 })
const { daemon, registry, log } = world
after(() => world.stop())

const DIGEST = `sha256:${'a'.repeat(64)}`

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
})
