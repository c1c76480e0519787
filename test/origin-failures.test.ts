import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import type { Clock } from '../src/core/clock.ts'
import { DragonflyError, ERROR_TABLE, type ErrorCode } from '../src/core/error.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import type { Peer } from '../src/peer/peer.ts'
import { runCli, stopResident } from './support/cli-run.ts'
import type { Behaviour } from './support/origin-behaviour.ts'
import { LENGTH_BYTES, leftIn, MIB, NAMELESS } from './support/origin-scene.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { createSelfSigned } from './support/self-signed.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

/**
 * Whatever an origin does wrong ends in a clear error: for one peer, for three at once, and for the command, whose exit status says the
 * cause. Nothing is left behind, and when the origin is well again so is the download.
 */

const KIB = 1024

/** What is asked for in one of the ways, and where it is. */
type Arranged = { readonly url: string; readonly file: ServedFile | null; heal(): Promise<void> | void }

type Failure = {
  readonly name: string
  readonly code: ErrorCode
  readonly exitStatus: number
  /** What the message must name. */
  readonly says: RegExp
  readonly headers?: [string, string][]
  readonly digest?: string
  arrange(origin: OriginServer, path: string): Arranged | Promise<Arranged>
}

function behaves(wrong: Partial<Behaviour>, well: Partial<Behaviour> = {}): Failure['arrange'] {
  return (origin, at) => {
    const file = origin.serve(at, { lengthBytes: LENGTH_BYTES, seed: 3, ...wrong })
    const heal = () =>
      file.set({ refusal: null, headFault: null, bodyFault: null, redirect: null, change: null, ...well })
    return { url: file.url, file, heal }
  }
}

const refuses = (status: number) => behaves({ refusal: { status } })
const faults = (kind: 'stall' | 'truncate' | 'reset', rest: Partial<Behaviour> = {}) =>
  behaves({ bodyFault: { kind, afterBytes: 500 * KIB }, ...rest })
/** Broken off once, and other content when asked again. */
const changes = (rest: Partial<Behaviour>, patch: Partial<Behaviour> = { seed: 9 }) =>
  behaves({
    bodyFault: { kind: 'truncate', afterBytes: 2 * MIB + 5, times: 1 },
    change: { afterBytes: 2 * MIB, patch },
    ...rest,
  })

const FAILURES: readonly Failure[] = [
  { name: '404', code: 'ORIGIN_NOT_FOUND', exitStatus: 10, says: /answered 404/, arrange: refuses(404) },
  { name: '410', code: 'ORIGIN_NOT_FOUND', exitStatus: 10, says: /answered 410/, arrange: refuses(410) },
  { name: '401', code: 'ORIGIN_UNAUTHORIZED', exitStatus: 11, says: /answered 401/, arrange: refuses(401) },
  { name: '403', code: 'ORIGIN_UNAUTHORIZED', exitStatus: 11, says: /answered 403/, arrange: refuses(403) },
  { name: '418', code: 'ORIGIN_REFUSED', exitStatus: 12, says: /answered 418/, arrange: refuses(418) },
  { name: '500', code: 'ORIGIN_ERROR', exitStatus: 19, says: /answered 500/, arrange: refuses(500) },
  { name: '503', code: 'ORIGIN_ERROR', exitStatus: 19, says: /answered 503/, arrange: refuses(503) },
  {
    name: 'a refused connection',
    code: 'ORIGIN_UNREACHABLE',
    exitStatus: 13,
    says: /127\.0\.0\.1:\d+.*refused/i,
    async arrange(_, at) {
      const closed = await startOriginServer()
      const { port, url } = closed
      await closed.close()
      return { url: url + at, file: null, heal: () => reopen(port, at) }
    },
  },
  {
    name: 'an unknown host',
    code: 'ORIGIN_UNREACHABLE',
    exitStatus: 13,
    says: /no-such-host\.invalid/,
    arrange: (_, at) => ({ url: `http://no-such-host.invalid${at}`, file: null, heal() {} }),
  },
  {
    name: 'a certificate of an unknown CA',
    code: 'ORIGIN_TLS',
    exitStatus: 18,
    says: /127\.0\.0\.1:\d+.*SELF_SIGNED_CERT/,
    arrange: (_, at) => ({ url: `${secure.url}${at}`, file: null, heal() {} }),
  },
  {
    name: 'silence',
    code: 'ORIGIN_STALLED',
    exitStatus: 14,
    says: /127\.0\.0\.1:\d+: nothing was received/,
    arrange: behaves({ headFault: 'silent' }),
  },
  {
    name: 'a connection that closes before the answer',
    code: 'ORIGIN_UNREACHABLE',
    exitStatus: 13,
    says: /127\.0\.0\.1:\d+.*closed/,
    arrange: behaves({ headFault: 'close' }),
  },
  {
    name: 'an answer that is not HTTP',
    code: 'ORIGIN_PROTOCOL',
    exitStatus: 17,
    says: /127\.0\.0\.1:\d+/,
    arrange: behaves({ headFault: 'garbage' }),
  },
  {
    name: 'a body that stalls each time',
    code: 'ORIGIN_STALLED',
    exitStatus: 14,
    says: /127\.0\.0\.1:\d+/,
    arrange: faults('stall'),
  },
  {
    name: 'a body that is cut off each time',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: faults('truncate'),
  },
  {
    name: 'a body that is cut off each time further on, without ranges',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: behaves({ ranges: 'ignored', bodyFault: { kind: 'truncate', afterBytes: 2 * MIB + 9 } }),
  },
  {
    name: 'a body that is reset each time',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: faults('reset'),
  },
  {
    name: 'a chunked body that is broken off',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: faults('truncate', { framing: 'chunked' }),
  },
  {
    name: 'a long chunked body that is broken off, without a validator',
    code: 'ORIGIN_TRUNCATED',
    exitStatus: 15,
    says: /127\.0\.0\.1:\d+/,
    arrange: behaves({
      ...NAMELESS,
      framing: 'chunked',
      lengthBytes: 9 * MIB,
      bodyFault: { kind: 'truncate', afterBytes: 5 * MIB },
    }),
  },
  {
    name: 'a circle of redirects',
    code: 'ORIGIN_REFUSED',
    exitStatus: 12,
    says: /circle/,
    arrange(origin, at) {
      const file = origin.serve(at, { lengthBytes: LENGTH_BYTES, redirect: { to: `${at}-2` } })
      origin.serve(`${at}-2`, { redirect: { to: at } })
      return { url: file.url, file, heal: () => file.set({ redirect: null }) }
    },
  },
  {
    name: 'a redirect to another host that asks for the credentials',
    code: 'ORIGIN_UNAUTHORIZED',
    exitStatus: 11,
    says: /127\.0\.0\.2:\d+ answered 401/,
    headers: [['Authorization', 'Bearer SESAME']],
    arrange(origin, at) {
      const file = elsewhere.serve(at, { lengthBytes: LENGTH_BYTES, authorization: 'Bearer SESAME' })
      const start = origin.serve(at, { redirect: { to: file.url } })
      return { url: start.url, file, heal: () => file.set({ authorization: null }) }
    },
  },
  {
    name: 'content that changes mid-way, with an ETag',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /changed/,
    arrange: changes({}),
  },
  {
    name: 'content that changes mid-way, with Last-Modified only',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /changed/,
    arrange: changes({ etag: null }),
  },
  {
    name: 'content that changes mid-way, at an origin that does not know If-Range',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /changed/,
    arrange: changes({ ranges: 'deaf' }),
  },
  {
    name: 'content that changes mid-way, without a validator',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /other bytes|changed/,
    arrange: changes(NAMELESS),
  },
  {
    name: 'content that gets shorter mid-way, without a validator',
    code: 'ORIGIN_CHANGED',
    exitStatus: 16,
    says: /changed/,
    arrange: changes(NAMELESS, { lengthBytes: 2 * MIB }),
  },
  {
    name: 'content that is not what the digest says',
    code: 'DIGEST_MISMATCH',
    exitStatus: 20,
    says: /sha256:[0-9a-f]{64}, expected was sha256:0{63}1/,
    digest: `sha256:${'0'.repeat(63)}1`,
    arrange: behaves({}),
  },
  {
    name: 'a body that ends early where only a digest can tell',
    code: 'DIGEST_MISMATCH',
    exitStatus: 20,
    says: /expected was/,
    digest: `sha256:${'0'.repeat(63)}2`,
    arrange: faults('truncate', { framing: 'close' }),
  },
  {
    name: "the caller's Range at an origin without ranges",
    code: 'ORIGIN_REFUSED',
    exitStatus: 12,
    says: /does not serve ranges/,
    headers: [['Range', 'bytes=5-99']],
    arrange: behaves({ ranges: 'ignored' }),
  },
  {
    name: "the caller's Range that is open",
    code: 'USAGE',
    exitStatus: 1,
    says: /Range header must be one range/,
    headers: [['Range', 'bytes=5-']],
    arrange: behaves({}),
  },
]

const secure = await startOriginServer({ tls: createSelfSigned({ ipv4: '127.0.0.1' }) })
const elsewhere = await startOriginServer({ host: '127.0.0.2' })
const reopened: OriginServer[] = []

async function reopen(port: number, at: string): Promise<void> {
  const origin = await startOriginServer({ port })
  origin.serve(at, { lengthBytes: LENGTH_BYTES })
  reopened.push(origin)
}

describe('failures of origins', { concurrency: 3 }, () => {
  for (const failure of FAILURES) {
    it(`${failure.name}: a clear error, nothing left, well again later`, () =>
      withSystem(failure, testFailure))
  }
})

after(async () => {
  for (const origin of [secure, elsewhere, ...reopened]) await origin.close()
})

type Context = {
  readonly failure: Failure
  readonly origin: OriginServer
  readonly system: TestSystem
  readonly peers: readonly Peer[]
  /** Of the command. */
  readonly home: string
  readonly output: string
  /** Lets the supernode forget what it has just learned of the origin. */
  forget(): void
}

async function withSystem(failure: Failure, action: (context: Context) => Promise<void>): Promise<void> {
  let skewMs = 0
  const clock: Clock = {
    now: () => systemClock.now() + skewMs,
    wallNow: () => systemClock.wallNow() + skewMs,
    schedule: (delayMs, then) => systemClock.schedule(delayMs, then),
  }
  const origin = await startOriginServer()
  const system = await startSystem({ clock })
  const home = path.join(system.directory, 'home')
  try {
    const peers = await Promise.all([1, 2, 3, 4].map(() => system.startPeer()))
    const output = path.join(system.directory, 'output', 'target')
    const forget = () => {
      skewMs += 2_000
    }
    await action({ failure, origin, system, peers, home, output, forget })
  } finally {
    await stopResident(home)
    await system.stop()
    await origin.close()
  }
}

async function testFailure(context: Context): Promise<void> {
  const { failure, origin, system, peers, home, forget } = context
  const [alone, ...crowd] = peers
  const places = await Promise.all(['/alone', '/crowd', '/command'].map(at => failure.arrange(origin, at)))
  const request = { headers: failure.headers ?? [], digest: failure.digest ?? null }
  const fails = (peer: Peer, url: string) =>
    assert.rejects(system.download(peer, url, request), error => isClear(failure, error))
  await Promise.all([
    fails(alone, places[0].url),
    ...crowd.map(peer => fails(peer, places[1].url)),
    failsAsCommand(context, places[2].url),
  ])
  for (const account of [1, 2, 3, 4].map(number => path.join(system.directory, `peer-${number}`))) {
    assert.deepEqual(await leftIn(account), [])
  }
  assert.deepEqual(await leftIn(home), [])
  assert.equal(existsSync(path.dirname(context.output)), false, 'the directory made for the output is gone')
  await assertNothingWrong(context, places)
  const requests = places[1].file?.requests.length ?? 0
  assert.ok(requests <= 4, `three peers at once made ${requests} requests`)
  if (places[0].file === null && failure.name !== 'a refused connection') return
  if (failure.headers?.[0][0] === 'Range') return
  forget()
  for (const place of places) await place.heal()
  await assertWell(context, places)
}

function isClear(failure: Failure, error: unknown): boolean {
  assert.ok(error instanceof DragonflyError, String(error))
  const { code, message, hint } = error
  assert.deepEqual([code, hint.length > 0], [failure.code, true], message)
  assert.match(message, failure.says)
  return true
}

function commandFlags({ failure, system, home, output }: Context, url: string): string[] {
  const headers = (failure.headers ?? []).flatMap(([name, value]) => ['--header', `${name}: ${value}`])
  return ['-u', url, '-o', output, '--home', home, '--node', system.node, '--ip', '127.0.0.99', ...headers]
}

async function failsAsCommand(context: Context, url: string): Promise<void> {
  const { failure } = context
  const digest = failure.digest ? ['--digest', failure.digest] : []
  const ended = await runCli('dfget', [...commandFlags(context, url), ...digest, '--json'])
  const { ok, code, message, hint, ...rest } = ended.json()
  assert.deepEqual(
    [ok, code, hint, rest],
    [false, failure.code, ERROR_TABLE[failure.code].hint, {}],
    ended.stdout,
  )
  assert.match(String(message), failure.says)
  assert.equal(ended.status, failure.exitStatus)
}

/** What the supernode keeps of a failed task are pieces of the true content, or nothing. */
async function assertNothingWrong({ system, failure, origin }: Context, places: Arranged[]): Promise<void> {
  const repo = path.join(system.directory, 'supernode', 'repo')
  const names = (await readdir(repo, { recursive: true })).filter(name => name.includes('/'))
  const mayKeep = ['ORIGIN_STALLED', 'ORIGIN_TRUNCATED'].includes(failure.code)
  if (!mayKeep) assert.deepEqual(names, [])
  for (const record of names.filter(name => name.endsWith('.jsonl'))) {
    const lines = (await readFile(path.join(repo, record), 'utf8')).trim().split('\n')
    const [header, ...entries] = lines.map(line => JSON.parse(line))
    const at = places.find(({ url }) => url === header.url)!.file!.path
    for (const { p, d } of entries) {
      const bytes = origin.expectedBytes(at, p * header.pieceLength, (p + 1) * header.pieceLength)
      assert.equal(d, createHash('sha256').update(bytes).digest('hex'))
    }
  }
}

/** The same commands again succeed; without the digest where that was what was wrong. */
async function assertWell(context: Context, places: readonly Arranged[]): Promise<void> {
  const { failure, system, peers, output } = context
  const [alone, ...crowd] = peers
  const headers = failure.headers ?? []
  const expected = await expectedDigest(context, places[0])
  const results = await Promise.all([
    system.download(alone, places[0].url, { headers }),
    ...crowd.map(peer => system.download(peer, places[1].url, { headers })),
  ])
  for (const result of results) {
    assert.equal(result.digest, expected)
    assert.equal(await sha256OfFile(result.path), expected)
  }
  const ended = await runCli('dfget', [...commandFlags(context, places[2].url), '--json'])
  assert.equal(ended.status, 0, ended.stdout + ended.stderr)
  assert.equal(ended.json().digest, expected)
  assert.equal(await sha256OfFile(output), expected)
}

function expectedDigest({ origin }: Context, { file, url }: Arranged): Promise<string> {
  const server = [origin, elsewhere, ...reopened].find(({ url: base }) =>
    (file?.url ?? url).startsWith(`${base}/`),
  )
  return server!.contentSha256(file?.path ?? new URL(url).pathname)
}
