import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { Peer } from '../src/peer/peer.ts'
import type { RunResult } from '../src/wire/local.ts'
import type { Behaviour } from './support/origin-behaviour.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem, TEST_LIMITS, type TestSystem } from './support/system.ts'

/** Every kind of origin, every awkward length, and three peers that come together or one after the other. */

const KIB = 1024
const MIB = 1024 * KIB
const INLINE = 64 * KIB

const around = (size: number) => [size - 1, size, size + 1]
const SMALL = [0, 1, ...around(INLINE), ...around(MIB)]
/** Pieces of 1 MiB. */
const KNOWN_LENGTHS = [...SMALL, 2 * MIB - 1, 2 * MIB + 1, 3 * MIB + 1]
/** Pieces of 4 MiB where the origin does not say the length. */
const UNKNOWN_LENGTHS = [...SMALL, 2 * MIB - 1, 2 * MIB + 1, ...around(4 * MIB), 12 * MIB + 1]

type Kind = {
  readonly name: string
  readonly behaviour: Partial<Behaviour>
  readonly lengths?: readonly number[]
  /** The origin can say "unchanged" without sending the content again. */
  readonly isRevalidated?: boolean
}

const NAMELESS = { etag: null, hasLastModified: false } as const

const KINDS: readonly Kind[] = [
  { name: 'with Content-Length and ranges', behaviour: {} },
  { name: 'without ranges', behaviour: { ranges: 'ignored' } },
  { name: 'chunked', behaviour: { framing: 'chunked' }, lengths: UNKNOWN_LENGTHS },
  {
    name: 'chunked in odd pieces, without ranges',
    behaviour: { framing: 'chunked', chunkBytes: 65_521, ranges: 'ignored', trailers: { 'X-Sum': 'none' } },
    lengths: UNKNOWN_LENGTHS,
  },
  { name: 'ended by close', behaviour: { framing: 'close' }, lengths: UNKNOWN_LENGTHS },
  {
    name: 'gzip-labelled',
    behaviour: { contentEncoding: 'gzip', contentType: 'application/gzip' },
  },
  { name: 'with a weak ETag', behaviour: { etag: 'weak', hasLastModified: false } },
  { name: 'with Last-Modified only', behaviour: { etag: null } },
  {
    name: 'chunked with Last-Modified only',
    behaviour: { etag: null, framing: 'chunked' },
    lengths: UNKNOWN_LENGTHS,
  },
  { name: 'without a validator', behaviour: NAMELESS, isRevalidated: false },
  {
    name: 'chunked without a validator',
    behaviour: { ...NAMELESS, framing: 'chunked', ranges: 'ignored' },
    lengths: UNKNOWN_LENGTHS,
    isRevalidated: false,
  },
]

/** A peer that is told something too late or never saves itself by asking again; only after so long that the wait is seen here. */
const PATIENT = { ...TEST_LIMITS, silenceMs: 240_000 }
const TIME_LIMIT = { timeout: 60_000 }
const WAIT_MS_MAX = 5_000

describe('kinds of origins', () => {
  for (const kind of KINDS) {
    it(`an origin ${kind.name} reaches three peers at once, and is read once`, TIME_LIMIT, () =>
      testTogether(kind),
    )
    it(`an origin ${kind.name} reaches later peers`, TIME_LIMIT, () => testLater(kind))
  }
})

/** A system of its own, so that what one kind leaves on disk is gone before the next. */
async function withSystem(
  freshMs: number,
  action: (context: { origin: OriginServer; system: TestSystem; peers: Peer[] }) => Promise<void>,
): Promise<void> {
  const origin = await startOriginServer()
  const system = await startSystem({ freshMs })
  try {
    const peers = await Promise.all([1, 2, 3].map(() => system.startPeer({ limits: PATIENT })))
    await action({ origin, system, peers })
  } finally {
    await system.stop()
    await origin.close()
  }
}

/** As long as the origin's word counts for others in the product. */
const FRESH_MS = 1_000

function testTogether(kind: Kind): Promise<void> {
  return withSystem(FRESH_MS, async ({ origin, system, peers }) => {
    for (const lengthBytes of kind.lengths ?? KNOWN_LENGTHS) {
      const file = origin.serve(`/together-${lengthBytes}`, { ...kind.behaviour, lengthBytes, seed: 3 })
      const results = await Promise.all(peers.map(peer => system.download(peer, file.url)))
      for (const result of results) await assertSame(origin, file, result)
      assertReadAtMost(file, 1)
    }
  })
}

function testLater(kind: Kind): Promise<void> {
  return withSystem(0, async ({ origin, system, peers }) => {
    const [first, ...others] = peers
    for (const lengthBytes of kind.lengths ?? KNOWN_LENGTHS) {
      const file = origin.serve(`/later-${lengthBytes}`, { ...kind.behaviour, lengthBytes, seed: 4 })
      await assertSame(origin, file, await system.download(first, file.url))
      for (const later of others) await assertSame(origin, file, await system.download(later, file.url))
      assertReadAtMost(file, kind.isRevalidated === false ? peers.length : 1)
    }
  })
}

async function assertSame(origin: OriginServer, file: ServedFile, result: RunResult): Promise<void> {
  const { lengthBytes } = file.behaviour
  const expected = await origin.contentSha256(file.path)
  assert.equal(result.lengthBytes, lengthBytes)
  assert.equal(result.digest, expected, `digest of ${lengthBytes} bytes`)
  assert.equal(await sha256OfFile(result.path), expected, `file of ${lengthBytes} bytes`)
  const { origin: fromOrigin, supernode, peers, local } = result.bytes
  assert.equal(fromOrigin + supernode + peers + local, lengthBytes, `bytes by source of ${lengthBytes}`)
  assert.equal(fromOrigin, 0)
  const waitedMs = result.waitMs.schedule ?? 0
  assert.ok(waitedMs < WAIT_MS_MAX, `waited ${waitedMs} ms for pieces of ${lengthBytes} bytes`)
}

function assertReadAtMost(file: ServedFile, times: number): void {
  const { bodyBytesSent, behaviour } = file
  const most = behaviour.lengthBytes * 1.01 * times
  assert.ok(bodyBytesSent <= most, `${bodyBytesSent} of ${behaviour.lengthBytes} bytes were read`)
}

describe('what identifies content', () => {
  let origin: OriginServer
  let system: TestSystem
  let peers: Peer[]
  before(async () => {
    origin = await startOriginServer()
    system = await startSystem()
    peers = await Promise.all([1, 2, 3].map(() => system.startPeer()))
  })
  after(async () => {
    await system.stop()
    await origin.close()
  })

  it('redirects, also to another host, lead to the content', async () => {
    const elsewhere = await startOriginServer({ host: '127.0.0.2' })
    try {
      for (const lengthBytes of KNOWN_LENGTHS) {
        const target = elsewhere.serve(`/target-${lengthBytes}`, { lengthBytes, seed: 5 })
        origin.serve(`/hop-${lengthBytes}`, { redirect: { to: target.url, status: 307 } })
        const start = origin.serve(`/start-${lengthBytes}`, { redirect: { to: `hop-${lengthBytes}` } })
        const results = await Promise.all(peers.map(peer => system.download(peer, start.url)))
        for (const result of results) await assertSame(elsewhere, target, result)
        await assertSame(elsewhere, target, await system.download(peers[0], start.url))
        assertReadAtMost(target, 1)
      }
    } finally {
      await elsewhere.close()
    }
  })

  const VALIDATORS: readonly [string, Partial<Behaviour>][] = [
    ['a strong ETag', {}],
    ['a weak ETag', { etag: 'weak', hasLastModified: false }],
    ['Last-Modified only', { etag: null }],
    ['an ETag that conditional requests ignore', { answersUnchanged: false }],
    ['no validator', NAMELESS],
    ['no validator and no length', { ...NAMELESS, framing: 'chunked', ranges: 'ignored' }],
  ]
  for (const [name, behaviour] of VALIDATORS) {
    for (const lengthBytes of [0, 777, INLINE + 1, 2 * MIB + 1]) {
      it(`content of ${lengthBytes} bytes that changes between two downloads is noticed with ${name}`, async () => {
        const path = `/changing-${name.replaceAll(' ', '-')}-${lengthBytes}`
        const file = origin.serve(path, { ...behaviour, lengthBytes, seed: 6 })
        for (const peer of peers.slice(0, 2)) {
          await assertSame(origin, file, await system.download(peer, file.url))
        }
        // Content without a validator stays as it is for as long as somebody receives it.
        await system.heardAll()
        file.set({ seed: 7 })
        for (const peer of peers) await assertSame(origin, file, await system.download(peer, file.url))
        await system.heardAll()
        file.set({ seed: 8, lengthBytes: lengthBytes + 5 })
        const together = await Promise.all(peers.map(peer => system.download(peer, file.url)))
        for (const result of together) await assertSame(origin, file, result)
      })
    }
  }

  it('unchanged content is not sent again, to anyone', async () => {
    const file = origin.serve('/unchanged', { lengthBytes: 3 * MIB + 1, seed: 9 })
    await system.download(peers[0], file.url)
    const again = await system.download(peers[0], file.url)
    assert.equal(again.bytes.local, again.lengthBytes)
    await system.download(peers[1], file.url)
    assert.equal(file.bodyBytesSent, 3 * MIB + 1)
  })

  it("the caller's Range is a task of its own, with that part as its content", async () => {
    const file = origin.serve('/part', { lengthBytes: 4 * MIB, seed: 10 })
    const whole = await system.download(peers[0], file.url)
    const parts: [start: number, end: number][] = [
      [0, 1],
      [5, 70_000],
      [MIB - 1, 3 * MIB + 7],
      [4 * MIB - 1, 4 * MIB],
    ]
    for (const [start, end] of parts) {
      const headers: [string, string][] = [['Range', `bytes=${start}-${end - 1}`]]
      const results = await Promise.all(peers.map(peer => system.download(peer, file.url, { headers })))
      const expected = `sha256:${createHash('sha256')
        .update(origin.expectedBytes('/part', start, end))
        .digest('hex')}`
      for (const result of results) {
        assert.notEqual(result.taskId, whole.taskId)
        assert.equal(result.lengthBytes, end - start)
        assert.equal(result.digest, expected)
        assert.equal(await sha256OfFile(result.path), expected)
      }
    }
  })

  it('content named by its digest is one task, whatever its URL', async () => {
    const file = origin.serve('/named', { lengthBytes: 2 * MIB + 1, seed: 11 })
    const digest = await origin.contentSha256('/named')
    const first = await system.download(peers[0], file.url, { digest })
    await assertSame(origin, file, first)
    const other = origin.serve('/same-elsewhere', { lengthBytes: 2 * MIB + 1, seed: 11 })
    const second = await system.download(peers[1], other.url, { digest })
    await assertSame(origin, file, second)
    assert.equal(second.taskId, first.taskId)
    assert.equal(file.bodyBytesSent + other.bodyBytesSent, file.behaviour.lengthBytes)
  })
})
