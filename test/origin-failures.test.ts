import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import type { Clock } from '../src/core/clock.ts'
import { DragonflyError, ERROR_TABLE } from '../src/core/error.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import type { Peer } from '../src/peer/peer.ts'
import { runCli, stopResident } from './support/cli-run.ts'
import { type Arranged, FAILURES, type Failure, otherOrigins } from './support/origin-failure-table.ts'
import { leftIn } from './support/origin-scene.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

/**
 * Whatever an origin does wrong ends in a clear error: for one peer, for three at once, and for the command, whose exit status says the
 * cause. Nothing is left behind, and when the origin is well again so is the download.
 */

describe('failures of origins', { concurrency: 3 }, () => {
  for (const failure of FAILURES) {
    it(`${failure.name}: a clear error, nothing left, well again later`, () =>
      withSystem(failure, testFailure))
  }
})

after(async () => {
  for (const origin of otherOrigins) await origin.close()
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
  const server = [origin, ...otherOrigins].find(({ url: base }) => (file?.url ?? url).startsWith(`${base}/`))
  return server!.contentSha256(file?.path ?? new URL(url).pathname)
}
