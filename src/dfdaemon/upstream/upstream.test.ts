import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, describe, it } from 'node:test'
import { startProxyServer } from '../../../test/support/proxy-server.ts'
import { createSelfSigned } from '../../../test/support/self-signed.ts'
import type { ProxySettings } from '../../net/proxy.ts'
import { systemClock } from '../../ops/system-clock.ts'
import { Destinations } from '../destination.ts'
import type { UpstreamTrust } from '../options.ts'
import { Upstream } from './upstream.ts'

const certificate = createSelfSigned({ ipv4: '127.0.0.1' })
let answered = 0
const plain = createServer((_, response) => {
  answered++
  response.end('plain')
})
const secure = createSecureServer(certificate, (_, response) => response.end('secure'))
const ports = await Promise.all([plain, secure].map(listen))
const [http, https] = [
  new URL(`http://127.0.0.1:${ports[0]}/a?b=%2F`),
  new URL(`https://127.0.0.1:${ports[1]}/`),
]
const opened: Upstream[] = []
after(async () => {
  await Promise.all(opened.map(upstream => upstream.close()))
  for (const server of [plain, secure]) server.close()
})

const NO_TRUST: UpstreamTrust = { authorities: null, isInsecure: false }

function open(proxies: ProxySettings | null = null, destinations = new Destinations(() => 0)): Upstream {
  const upstream = new Upstream({ proxies, clock: systemClock, destinations })
  opened.push(upstream)
  return upstream
}

async function get(upstream: Upstream, url: URL, trust = NO_TRUST): Promise<string> {
  const { signal } = new AbortController()
  const answer = await upstream.send({ method: 'GET', url, fields: [], body: null, trust, signal })
  assert.equal(answer.status, 200)
  return text(answer.body)
}

describe('an upstream', () => {
  it('is trusted if its certificate is, or an authority is named, or nothing is checked', async () => {
    const upstream = open()
    await assert.rejects(get(upstream, https), { code: 'ORIGIN_TLS' })
    assert.equal(await get(upstream, https, { authorities: certificate.cert, isInsecure: false }), 'secure')
    assert.equal(await get(upstream, https, { authorities: null, isInsecure: true }), 'secure')
    await assert.rejects(get(upstream, https), { code: 'ORIGIN_TLS' })
  })

  it('is not asked where nobody may be sent, whatever its name meant when it was looked at', async () => {
    const own = Number(http.port)
    const rebinding = new Destinations(
      () => own,
      (_, options, callback) =>
        options.all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4),
    )
    const asked = answered
    const upstream = open(null, rebinding)
    for (const url of [http, new URL(`http://elsewhere.example:${own}/`)]) {
      await assert.rejects(get(upstream, url), { code: 'ORIGIN_LOOP' })
    }
    await assert.rejects(get(upstream, new URL('http://127.0.0.1:25/')), { code: 'ORIGIN_BLOCKED' })
    assert.equal(answered, asked)
  })

  it('is asked through the proxy: in plain text with the whole URL, else through a tunnel', async () => {
    const proxy = await startProxyServer({ credentials: 'user:password' })
    const url = proxy.url.replace('http://', 'http://user:password@')
    const upstream = open({ http: url, https: url, except: [] })
    assert.equal(await get(upstream, http), 'plain')
    assert.equal(await get(upstream, https, { authorities: null, isInsecure: true }), 'secure')
    assert.deepEqual(
      proxy.requests.map(({ method, target }) => `${method} ${target}`),
      [`GET ${http.href}`, `CONNECT ${https.host}`],
    )
    await proxy.close()
  })

  it('is asked again where it has closed a kept connection', async () => {
    const upstream = open()
    await get(upstream, http)
    const before = answered
    plain.prependOnceListener('request', request => request.socket.destroy())
    assert.equal(await get(upstream, http), 'plain')
    assert.equal(answered, before + 2)
  })

  it('is said to be unreachable, slow to connect or no HTTP for what it is', async () => {
    const upstream = open()
    const nobody = createServer()
    const port = await listen(nobody)
    await new Promise(resolve => nobody.close(resolve))
    await assert.rejects(get(upstream, new URL(`http://127.0.0.1:${port}/`)), { code: 'ORIGIN_UNREACHABLE' })
    await assert.rejects(
      get(upstream, new URL(`http://127.0.0.1:${ports[1]}/`)),
      (thrown: { code: string }) => ['ORIGIN_PROTOCOL', 'ORIGIN_UNREACHABLE'].includes(thrown.code),
    )
    const gone = AbortSignal.abort()
    const request = { method: 'GET', url: http, fields: [], body: null, trust: NO_TRUST, signal: gone }
    await assert.rejects(upstream.send(request), { code: 'CANCELLED' })
  })
})

function listen(server: Server): Promise<number> {
  return new Promise(resolve =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
  )
}
