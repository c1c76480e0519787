import assert from 'node:assert/strict'
import path from 'node:path'
import { describe, it } from 'node:test'
import { DragonflyError } from '../src/core/error.ts'
import type { Peer } from '../src/peer/peer.ts'
import type { Behaviour } from './support/origin-behaviour.ts'
import { LENGTH_BYTES, leftIn, MIB, NAMELESS } from './support/origin-scene.ts'
import { startOriginServer } from './support/origin-server.ts'
import { sha256OfFile, startSystem } from './support/system.ts'

type Recovery = {
  readonly name: string
  readonly behaviour: Partial<Behaviour>
  /** Where the origin is asked to go on; null where it has to begin again; undefined where that depends on what was lost on the way. */
  readonly resumesAt: number | null | undefined
  /** Body bytes that the origin may send. */
  readonly bytesMax: number
}

const once = (kind: 'stall' | 'truncate' | 'reset', rest: Partial<Behaviour> = {}): Partial<Behaviour> => ({
  bodyFault: { kind, afterBytes: 2 * MIB + 5, times: 1 },
  ...rest,
})
const AGAIN = 2 * MIB + 5 + LENGTH_BYTES

const RECOVERIES: readonly Recovery[] = [
  {
    name: '503 twice',
    behaviour: { refusal: { status: 503, times: 2 } },
    resumesAt: null,
    bytesMax: LENGTH_BYTES,
  },
  {
    name: '429 once',
    behaviour: { refusal: { status: 429, times: 1 } },
    resumesAt: null,
    bytesMax: LENGTH_BYTES,
  },
  { name: 'a stall', behaviour: once('stall'), resumesAt: 2 * MIB, bytesMax: LENGTH_BYTES + 5 },
  { name: 'a truncation', behaviour: once('truncate'), resumesAt: 2 * MIB, bytesMax: LENGTH_BYTES + 5 },
  { name: 'a reset', behaviour: once('reset'), resumesAt: undefined, bytesMax: AGAIN },
  {
    name: 'a truncation, with Last-Modified only',
    behaviour: once('truncate', { etag: null }),
    resumesAt: 2 * MIB,
    bytesMax: LENGTH_BYTES + 5,
  },
  {
    name: 'a truncation, with a weak ETag',
    behaviour: once('truncate', { etag: 'weak', hasLastModified: false }),
    resumesAt: null,
    bytesMax: AGAIN,
  },
  {
    name: 'a truncation, without ranges',
    behaviour: once('truncate', { ranges: 'ignored' }),
    resumesAt: 2 * MIB,
    bytesMax: AGAIN,
  },
  {
    name: 'a truncation, without a validator',
    behaviour: once('truncate', NAMELESS),
    resumesAt: null,
    bytesMax: AGAIN,
  },
  {
    name: 'a chunked body broken off',
    behaviour: once('truncate', { framing: 'chunked' }),
    resumesAt: null,
    bytesMax: AGAIN,
  },
  {
    name: 'a long chunked body broken off',
    behaviour: {
      framing: 'chunked',
      lengthBytes: 9 * MIB,
      bodyFault: { kind: 'truncate', afterBytes: 5 * MIB, times: 1 },
    },
    resumesAt: 4 * MIB,
    bytesMax: 10 * MIB,
  },
  {
    name: 'a chunked body broken off, without a validator',
    behaviour: once('truncate', { ...NAMELESS, framing: 'chunked' }),
    resumesAt: null,
    bytesMax: AGAIN,
  },
]

describe('origins that fail and recover', { concurrency: 3 }, () => {
  for (const recovery of RECOVERIES) {
    it(`three peers get the content after ${recovery.name}`, () => testRecovery(recovery))
  }

  it('credentials stay with the host that they were given for', async () => {
    const origin = await startOriginServer()
    const elsewhere = await startOriginServer({ host: '127.0.0.2' })
    const system = await startSystem()
    try {
      const peer = await system.startPeer()
      const target = elsewhere.serve('/public', { lengthBytes: 777 })
      const start = origin.serve('/private', { redirect: { to: target.url } })
      const headers: [string, string][] = [
        ['Authorization', 'Bearer SESAME'],
        ['Cookie', 'session=SESAME'],
        ['X-Api-Key', 'SESAME'],
      ]
      const result = await system.download(peer, start.url, { headers })
      assert.equal(result.digest, await elsewhere.contentSha256('/public'))
      assert.equal(start.requests[0].headers.authorization, 'Bearer SESAME')
      assert.ok(target.requests.length > 0)
      for (const { headers: sent } of target.requests) assert.doesNotMatch(JSON.stringify(sent), /SESAME/)
    } finally {
      await system.stop()
      await origin.close()
      await elsewhere.close()
    }
  })

  const ODD_RANGES = [
    'wrong-start',
    'wrong-length',
    'no-content-range',
    'unknown-length',
    'short',
    'surplus',
  ] as const
  for (const ranges of ODD_RANGES) {
    it(`an origin whose ranges are "${ranges}" gives the right file or a clear error`, () =>
      testOddRanges(ranges))
  }
})

async function testRecovery({ behaviour, resumesAt, bytesMax }: Recovery): Promise<void> {
  const origin = await startOriginServer()
  const system = await startSystem()
  try {
    const peers = await Promise.all([1, 2, 3].map(() => system.startPeer()))
    const file = origin.serve('/recovers', { lengthBytes: LENGTH_BYTES, seed: 3, ...behaviour })
    const results = await Promise.all(peers.map(peer => system.download(peer, file.url)))
    const expected = await origin.contentSha256(file.path)
    for (const result of results) {
      assert.equal(result.digest, expected)
      assert.equal(await sha256OfFile(result.path), expected)
    }
    const ranges = file.requests.map(({ headers }) => headers.range).filter(range => range !== undefined)
    if (resumesAt !== undefined) assert.deepEqual(ranges, resumesAt === null ? [] : [`bytes=${resumesAt}-`])
    assert.ok(file.bodyBytesSent <= bytesMax, `${file.bodyBytesSent} > ${bytesMax}`)
  } finally {
    await system.stop()
    await origin.close()
  }
}

async function testOddRanges(ranges: Behaviour['ranges']): Promise<void> {
  const origin = await startOriginServer()
  const system = await startSystem()
  try {
    const peers = await Promise.all([1, 2, 3].map(() => system.startPeer()))
    const file = origin.serve('/odd', { lengthBytes: LENGTH_BYTES, seed: 3, ...once('truncate', { ranges }) })
    const expected = await origin.contentSha256(file.path)
    const download = async (peer: Peer) => {
      const result = await system.download(peer, file.url)
      assert.equal(await sha256OfFile(result.path), expected)
      return 'fine'
    }
    const ends = await Promise.all(peers.map(peer => download(peer).catch(codeOf)))
    assert.equal(new Set(ends).size, 1, ends.join())
    assert.match(ends[0], /^(?:fine|ORIGIN_PROTOCOL|ORIGIN_CHANGED|ORIGIN_TRUNCATED)$/)
    if (ends[0] === 'fine') return
    for (const number of [1, 2, 3]) {
      assert.deepEqual(await leftIn(path.join(system.directory, `peer-${number}`)), [])
    }
  } finally {
    await system.stop()
    await origin.close()
  }
}

function codeOf(thrown: unknown): string {
  assert.ok(thrown instanceof DragonflyError, String(thrown))
  return thrown.code
}
