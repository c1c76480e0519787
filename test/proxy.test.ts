import assert from 'node:assert/strict'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type CliResult, runCli } from './support/cli-run.ts'
import { startDfgetWorld, stopDfgetWorld } from './support/dfget-world.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { type ProxyServer, startProxyServer } from './support/proxy-server.ts'
import { createSelfSigned } from './support/self-signed.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

/** Proxies between a peer or a supernode and the origin, on real processes. */

const MIB = 1024 ** 2
const USER = 'us%40er:pass%2Fword'
const USER_PLAIN = 'us@er:pass/word'
const USER_BASIC = Buffer.from(USER_PLAIN).toString('base64')

const certificate = createSelfSigned({ ipv4: '127.0.0.1' })
let origin: OriginServer
let secure: OriginServer
let system: TestSystem
let home: string
let authorities: string
before(async () => {
  ;({ origin, system, home } = await startDfgetWorld())
  secure = await startOriginServer({ tls: certificate })
  authorities = path.join(system.directory, 'authorities.pem')
  await writeFile(authorities, certificate.cert)
})
after(async () => {
  await stopDfgetWorld({ origin, system, home })
  await secure.close()
})

async function withProxy(
  options: Parameters<typeof startProxyServer>[0],
  action: (proxy: ProxyServer) => Promise<void>,
): Promise<void> {
  const proxy = await startProxyServer(options)
  try {
    await action(proxy)
  } finally {
    await proxy.close()
  }
}

async function dfget(url: string, flags: readonly string[], env: Record<string, string> = {}) {
  const output = path.join(await mkdtemp(path.join(system.directory, 'out-')), 'target')
  const common = ['--json', '--config=', '--home', home, '--ip', '127.0.0.1', '--tries=1']
  const ended = await runCli('dfget', ['-u', url, '-o', output, ...common, ...flags], {
    env: { ...process.env, ...env },
  })
  return { ...ended, output }
}

async function assertGood(ended: CliResult & { output: string }, server: OriginServer, name: string) {
  assert.equal(ended.status, 0, ended.stdout + ended.stderr)
  assert.equal(await sha256OfFile(ended.output), await server.contentSha256(name))
}

const alone = ['--pattern=source']
const withCredentials = (proxy: ProxyServer) => proxy.url.replace('//', `//${USER}@`)

describe('a proxy for http origins', () => {
  it('is asked in the place of the origin, with its credentials, which the origin never sees', () =>
    withProxy({ credentials: USER_PLAIN }, async proxy => {
      const file = origin.serve('/relayed', { lengthBytes: 3 * MIB })
      const ended = await dfget(`${file.url}?a=b`, alone, { http_proxy: withCredentials(proxy) })
      await assertGood(ended, origin, '/relayed')
      assert.equal(proxy.requests[0].target, `${file.url}?a=b`)
      assert.equal(proxy.requests[0].headers['proxy-authorization'], `Basic ${USER_BASIC}`)
      assert.ok(file.requests.length > 0)
      assert.ok(file.requests.every(({ headers }) => !('proxy-authorization' in headers)))
    }))

  it('has credentials that go nowhere else when a redirect leads to an origin that is asked directly', () =>
    withProxy({ credentials: USER_PLAIN }, async proxy => {
      const direct = await startOriginServer({ host: '127.0.0.2' })
      try {
        const end = direct.serve('/end', { lengthBytes: 1_000 })
        const start = origin.serve('/start', { redirect: { to: end.url } })
        const flags = [...alone, '--proxy-except=127.0.0.2', '--header', 'Authorization: Bearer secret']
        const ended = await dfget(start.url, flags, { http_proxy: withCredentials(proxy) })
        assert.equal(ended.status, 0, ended.stdout)
        assert.equal(proxy.requests.length, 1)
        assert.ok(start.requests.length > 0 && end.requests.length > 0)
        for (const { headers } of end.requests) {
          assert.equal(headers['proxy-authorization'], undefined)
          assert.equal(headers.authorization, undefined)
        }
      } finally {
        await direct.close()
      }
    }))

  it('that refuses is named, and its credentials are in no output and no log', () =>
    withProxy({ credentials: 'another:one' }, async proxy => {
      const file = origin.serve('/refused', { lengthBytes: 1_000 })
      const plain = await dfget(file.url, [...alone, '--verbose'], { http_proxy: withCredentials(proxy) })
      const tunnel = await dfget(secure.serve('/refused', { lengthBytes: 1 }).url, alone, {
        https_proxy: withCredentials(proxy),
      })
      assert.equal(plain.json().code, 'ORIGIN_UNAUTHORIZED')
      assert.equal(tunnel.json().code, 'ORIGIN_REFUSED')
      assert.match(
        String(tunnel.json().message),
        new RegExp(`the proxy 127\\.0\\.0\\.1:${proxy.port} answered 407`),
      )
      assert.equal(file.requests.length, 0)
      const log = await readFile(path.join(home, 'logs', 'dfclient.log'), 'utf8')
      const shown = [plain, tunnel].map(({ stdout, stderr }) => stdout + stderr).join('') + log
      for (const secret of [USER, USER_PLAIN, USER_BASIC, 'pass/word']) assert.ok(!shown.includes(secret))
    }))

  it('is passed by for what the exceptions name', () =>
    withProxy({}, async proxy => {
      const file = origin.serve('/spared', { lengthBytes: 1_000 })
      for (const exception of ['127.0.0.1', '*', `127.0.0.1:${origin.port}`, 'x.example,127.0.0.0/8']) {
        const env = { http_proxy: proxy.url, no_proxy: exception }
        const ended = await dfget(file.url, [...alone, '-i', exception], env)
        await assertGood(ended, origin, '/spared')
      }
      assert.equal(proxy.requests.length, 0)
    }))
})

describe('a proxy for https origins', () => {
  it('connects, and sees nothing of what is said: no path, no header, no content', () =>
    withProxy({ credentials: USER_PLAIN }, async proxy => {
      const file = secure.serve('/tunnelled', { lengthBytes: 9 * MIB + 3 })
      const flags = [...alone, '--cacerts', authorities, '--header', 'Authorization: Bearer secret']
      const ended = await dfget(file.url, flags, { https_proxy: withCredentials(proxy) })
      await assertGood(ended, secure, '/tunnelled')
      const [{ method, target, headers }] = proxy.requests
      assert.deepEqual([method, target], ['CONNECT', `127.0.0.1:${secure.port}`])
      assert.deepEqual(headers, { host: target, 'proxy-authorization': `Basic ${USER_BASIC}` })
      assert.ok(file.requests.every(({ headers }) => !('proxy-authorization' in headers)))
    }))

  it("does not vouch for the origin: the origin's certificate is checked through it", () =>
    withProxy({}, async proxy => {
      const file = secure.serve('/unknown', { lengthBytes: 1_000 })
      const ended = await dfget(file.url, alone, { https_proxy: proxy.url })
      assert.equal(ended.json().code, 'ORIGIN_TLS')
      const url = file.url.replace('127.0.0.1', '127.0.0.2')
      const other = await dfget(url, [...alone, '--cacerts', authorities], { https_proxy: proxy.url })
      assert.notEqual(other.status, 0)
      assert.equal(file.requests.length, 0)
    }))

  it('that cannot connect is a failure of the way to the origin', () =>
    withProxy({ status: 502 }, async proxy => {
      const file = secure.serve('/nowhere', { lengthBytes: 1_000 })
      const ended = await dfget(file.url, alone, { https_proxy: proxy.url })
      assert.equal(ended.json().code, 'ORIGIN_UNREACHABLE')
      assert.match(String(ended.json().message), /the proxy .* answered 502/)
    }))
})

describe('supernodes and peers', () => {
  it('are never asked through a proxy of dfget', () =>
    withProxy({ status: 500 }, async proxy => {
      const file = origin.serve('/swarm', { lengthBytes: 3 * MIB })
      const env = { http_proxy: proxy.url, https_proxy: proxy.url }
      const ended = await dfget(file.url, ['--node', system.node], env)
      await assertGood(ended, origin, '/swarm')
      assert.equal(proxy.requests.length, 0)
    }))

  it('a supernode asks the origin through the proxy of its own configuration', () =>
    withProxy({ credentials: USER_PLAIN }, async proxy => {
      const proxies = { http: withCredentials(proxy), https: null, except: [] }
      const other = await startSystem({ proxies })
      try {
        const file = origin.serve('/seeded', { lengthBytes: 3 * MIB })
        const ended = await dfget(file.url, ['--node', other.node, '-i', 'seeded'])
        await assertGood(ended, origin, '/seeded')
        assert.ok(proxy.requests.length > 0)
        assert.ok(proxy.requests.every(({ target }) => target === file.url))
      } finally {
        await other.stop()
      }
    }))
})
