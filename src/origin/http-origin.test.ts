import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Behaviour } from '../../test/support/origin-behaviour.ts'
import { createTestOrigins, failsWith, readAll, requestFor } from '../../test/support/origin-client.ts'
import { type OriginServer, startOriginServer } from '../../test/support/origin-server.ts'
import type { ErrorCode } from '../core/error.ts'
import type { OriginRequest } from './origin.ts'

const KIB = 1024
const origins = createTestOrigins()
let server: OriginServer

before(async () => {
  server = await startOriginServer()
})
after(() => server.close())

/** Opens, reads everything, and compares it with what the server has. */
async function fetchAll(path: string, parts: Partial<OriginRequest> = {}) {
  const answer = await origins.open(requestFor(server.url + path, parts))
  const bytes = await readAll(answer.body)
  return { ...answer, bytes }
}

describe('the whole content', () => {
  const cases: [title: string, behaviour: Partial<Behaviour>, lengthBytes: number | null][] = [
    ['with a length', {}, 300 * KIB],
    ['until the connection closes', { framing: 'close' }, null],
    ['in chunks', { framing: 'chunked' }, null],
    ['in odd chunks with extensions and trailers', ODD_CHUNKS(), null],
    ['with a gzip label, as it is', { contentEncoding: 'gzip' }, 300 * KIB],
    ['from an origin without ranges and validators', BARE(), 300 * KIB],
    ['over a slow head', { headFault: 'slow' }, 300 * KIB],
    ['after a delay', { headDelayMs: 50 }, 300 * KIB],
    ['at a limited rate', { rateBytesPerSecond: 2 * KIB * KIB }, 300 * KIB],
    ['as zeros', { seed: 0 }, 300 * KIB],
  ]
  for (const [title, behaviour, lengthBytes] of cases) {
    test(`comes ${title}`, async () => {
      server.serve('/whole', { lengthBytes: 300 * KIB, ...behaviour })
      const answer = await fetchAll('/whole')
      assert.equal(answer.kind, 'content')
      assert.equal(answer.startByte, 0)
      assert.equal(answer.lengthBytes, lengthBytes)
      assert.ok(answer.bytes.equals(server.expectedBytes('/whole')))
      await server.when(({ connections }) => connections === 0)
    })
  }

  test('is empty where the origin says so', async () => {
    server.serve('/empty', { lengthBytes: 0 })
    const answer = await fetchAll('/empty')
    assert.equal(answer.lengthBytes, 0)
    assert.equal(answer.bytes.length, 0)
  })

  test('is empty where a range of it cannot be satisfied', async () => {
    server.serve('/empty', { lengthBytes: 0 })
    const answer = await fetchAll('/empty', { endByte: 1024 })
    assert.equal(answer.lengthBytes, 0)
    assert.equal(answer.bytes.length, 0)
  })

  test('comes with validators and type', async () => {
    server.serve('/typed', { lengthBytes: 5, seed: 7, contentType: 'text/plain' })
    const answer = await fetchAll('/typed')
    assert.equal(answer.contentType, 'text/plain')
    assert.deepEqual(answer.validator, { etag: '"7-5"', lastModified: 'Tue, 14 Nov 2023 22:13:27 GMT' })
  })

  test('is asked for without Range and with the identity coding', async () => {
    const file = server.serve('/asked', { lengthBytes: 5 })
    await fetchAll('/asked')
    const { headers } = file.requests[0]
    assert.equal(headers.range, undefined)
    assert.equal(headers['if-range'], undefined)
    assert.equal(headers['accept-encoding'], 'identity')
    assert.equal(headers['user-agent'], 'dragonfly')
    assert.equal(headers.host, `127.0.0.1:${server.port}`)
  })

  test('is asked for under the name that the options give, wherever it is, unless the caller has another', async () => {
    const file = server.serve('/named', { lengthBytes: 5 })
    const { url } = server.serve('/start', { redirect: { to: file.url } })
    const named = createTestOrigins({ userAgent: 'dragonfly/7 (supernode)' })
    const ask = async (headers: OriginRequest['headers']) => {
      await named.probe(requestFor(url, { headers }))
      return file.requests.at(-1)?.headers['user-agent']
    }
    assert.equal(await ask([]), 'dragonfly/7 (supernode)')
    assert.equal(await ask([['User-Agent', 'skopeo/1']]), 'skopeo/1')
  })
})

describe('resuming', () => {
  const LENGTH = 10_000
  const VALIDATOR = { etag: '"1-10000"', lastModified: 'Tue, 14 Nov 2023 22:13:21 GMT' }
  const WEAK = { etag: 'W/"1-10000"', lastModified: null }

  const cases: [
    title: string,
    behaviour: Partial<Behaviour>,
    request: Partial<OriginRequest>,
    expected: {
      start: number
      end?: number
      sent: [range?: string, ifRange?: string]
      length?: number | null
    },
  ][] = [
    ['goes on by entity tag', {}, {}, { start: 4000, sent: ['bytes=4000-', '"1-10000"'] }],
    [
      'stops at the end that was asked',
      {},
      { endByte: 6000 },
      { start: 4000, end: 6000, sent: ['bytes=4000-5999', '"1-10000"'] },
    ],
    [
      'goes on by date where the tag is weak',
      { etag: 'weak' },
      { validator: { ...WEAK, lastModified: VALIDATOR.lastModified } },
      { start: 4000, sent: ['bytes=4000-', VALIDATOR.lastModified] },
    ],
    ['starts over where the tag is weak', { etag: 'weak' }, { validator: WEAK }, { start: 0, sent: [] }],
    [
      'starts over without a validator, up to the end that was asked',
      {},
      { validator: null, endByte: 6000 },
      { start: 0, end: 6000, sent: ['bytes=0-5999'] },
    ],
    [
      'starts over where the validator could not be sent',
      {},
      { validator: { etag: '"a\r\nX: y"', lastModified: null } },
      { start: 0, sent: [] },
    ],
    [
      'starts over where the content changed',
      { seed: 2 },
      {},
      { start: 0, sent: ['bytes=4000-', '"1-10000"'] },
    ],
    [
      'starts over where ranges are ignored',
      { ranges: 'ignored' },
      {},
      { start: 0, sent: ['bytes=4000-', '"1-10000"'] },
    ],
    [
      'takes a range of content whose length is unknown',
      { ranges: 'unknown-length' },
      {},
      { start: 4000, sent: ['bytes=4000-', '"1-10000"'], length: null },
    ],
    [
      'takes a range in chunks',
      { framing: 'chunked' },
      {},
      { start: 4000, sent: ['bytes=4000-', '"1-10000"'] },
    ],
  ]
  for (const [title, behaviour, request, expected] of cases) {
    test(title, async () => {
      const file = server.serve('/resume', { lengthBytes: LENGTH, ...behaviour })
      const answer = await fetchAll('/resume', { startByte: 4000, validator: VALIDATOR, ...request })
      const { range, 'if-range': ifRange } = file.requests[0].headers
      assert.deepEqual([range, ifRange], [expected.sent[0], expected.sent[1]])
      assert.equal(answer.startByte, expected.start)
      assert.equal(answer.lengthBytes, expected.length === undefined ? LENGTH : expected.length)
      assert.ok(answer.bytes.equals(server.expectedBytes('/resume', expected.start, expected.end)))
    })
  }

  const failures: [title: string, behaviour: Partial<Behaviour>, code: ErrorCode][] = [
    ['another start', { ranges: 'wrong-start' }, 'ORIGIN_PROTOCOL'],
    ['a range that contradicts the length', { ranges: 'wrong-length' }, 'ORIGIN_PROTOCOL'],
    ['a 206 that names no range', { ranges: 'no-content-range' }, 'ORIGIN_PROTOCOL'],
    [
      'a range of other content from an origin without If-Range',
      { ranges: 'deaf', seed: 2 },
      'ORIGIN_CHANGED',
    ],
    ['content that is shorter now', { ranges: 'deaf', lengthBytes: 100 }, 'ORIGIN_CHANGED'],
    ['a range that is shorter than asked, as truncated', { ranges: 'short' }, 'ORIGIN_TRUNCATED'],
  ]
  for (const [title, behaviour, code] of failures) {
    test(`refuses ${title}`, async () => {
      server.serve('/resume', { lengthBytes: LENGTH, ...behaviour })
      await failsWith(code, fetchAll('/resume', { startByte: 4000, validator: VALIDATOR }))
      await server.when(({ connections }) => connections === 0)
    })
  }

  test('keeps the validator that the origin does not repeat', async () => {
    server.serve('/resume', { lengthBytes: LENGTH, hasLastModified: false })
    const answer = await fetchAll('/resume', { startByte: 4000, validator: VALIDATOR })
    assert.deepEqual(answer.validator, VALIDATOR)
  })
})

describe('the caller’s own Range', () => {
  const part = { headers: [['Range', 'bytes=1000-2999']] as const }

  test('makes that part the content', async () => {
    const file = server.serve('/part', { lengthBytes: 10_000 })
    const answer = await fetchAll('/part', part)
    assert.equal(file.requests[0].headers.range, 'bytes=1000-2999')
    assert.equal(answer.startByte, 0)
    assert.equal(answer.lengthBytes, 2000)
    assert.ok(answer.bytes.equals(server.expectedBytes('/part', 1000, 3000)))
  })

  test('counts offsets from the start of the part', async () => {
    const file = server.serve('/part', { lengthBytes: 10_000 })
    const validator = { etag: '"1-10000"', lastModified: null }
    const answer = await fetchAll('/part', { ...part, startByte: 500, endByte: 9000, validator })
    assert.equal(file.requests[0].headers.range, 'bytes=1500-2999')
    assert.equal(answer.startByte, 500)
    assert.equal(answer.lengthBytes, 2000)
    assert.ok(answer.bytes.equals(server.expectedBytes('/part', 1500, 3000)))
  })

  test('ends with the content', async () => {
    server.serve('/part', { lengthBytes: 1500 })
    const answer = await fetchAll('/part', part)
    assert.equal(answer.lengthBytes, 500)
    assert.equal(answer.bytes.length, 500)
  })

  test('is refused by an origin that does not serve ranges', async () => {
    server.serve('/part', { lengthBytes: 10_000, ranges: 'ignored' })
    const failure = await failsWith('ORIGIN_REFUSED', fetchAll('/part', part))
    assert.match(failure.message, /does not serve ranges/)
  })

  test('is refused where it lies beyond the content', async () => {
    server.serve('/part', { lengthBytes: 10 })
    await failsWith('ORIGIN_REFUSED', fetchAll('/part', part))
  })

  test('fails as changed where the content changed meanwhile', async () => {
    server.serve('/part', { lengthBytes: 10_000, seed: 2 })
    const validator = { etag: '"1-10000"', lastModified: null }
    await failsWith('ORIGIN_CHANGED', fetchAll('/part', { ...part, startByte: 500, validator }))
  })

  for (const value of ['bytes=5-', 'bytes=-5', 'bytes=0-1,4-5', 'bytes=9-3', 'lines=1-2']) {
    test(`"${value}" is a usage error`, async () => {
      await failsWith('USAGE', fetchAll('/part', { headers: [['range', value]] }))
    })
  }
})

describe('revalidation', () => {
  const VALIDATOR = { etag: '"1-50"', lastModified: 'Tue, 14 Nov 2023 22:13:21 GMT' }

  test('tells that nothing changed, by tag and date', async () => {
    const file = server.serve('/again', { lengthBytes: 50 })
    const answer = await fetchAll('/again', { validator: VALIDATOR, isRevalidation: true })
    assert.equal(answer.kind, 'unchanged')
    assert.equal(answer.bytes.length, 0)
    assert.deepEqual(answer.validator, VALIDATOR)
    assert.equal(file.requests[0].headers['if-none-match'], VALIDATOR.etag)
    assert.equal(file.requests[0].headers['if-modified-since'], VALIDATOR.lastModified)
    assert.equal(file.requests[0].headers.range, undefined)
    await server.when(({ connections }) => connections === 0)
  })

  test('works with a weak tag', async () => {
    server.serve('/again', { lengthBytes: 50, etag: 'weak', hasLastModified: false })
    const validator = { etag: 'W/"1-50"', lastModified: null }
    const answer = await fetchAll('/again', { validator, isRevalidation: true })
    assert.equal(answer.kind, 'unchanged')
  })

  for (const [title, behaviour] of [
    ['that changed', { seed: 3 }],
    ['of an origin that does not compare', { answersUnchanged: false }],
  ] as const) {
    test(`brings the content ${title}`, async () => {
      server.serve('/again', { lengthBytes: 50, ...behaviour })
      const answer = await fetchAll('/again', { validator: VALIDATOR, isRevalidation: true })
      assert.equal(answer.kind, 'content')
      assert.ok(answer.bytes.equals(server.expectedBytes('/again')))
    })
  }

  test('refuses a 304 that answers no condition', async () => {
    server.serve('/again', { lengthBytes: 50, refusal: { status: 304 } })
    await failsWith('ORIGIN_REFUSED', fetchAll('/again'))
  })
})

describe('statuses', () => {
  const cases: [status: number, code: ErrorCode][] = [
    [204, 'ORIGIN_REFUSED'],
    [206, 'ORIGIN_PROTOCOL'],
    [300, 'ORIGIN_REFUSED'],
    [400, 'ORIGIN_REFUSED'],
    [401, 'ORIGIN_UNAUTHORIZED'],
    [403, 'ORIGIN_UNAUTHORIZED'],
    [404, 'ORIGIN_NOT_FOUND'],
    [407, 'ORIGIN_UNAUTHORIZED'],
    [410, 'ORIGIN_NOT_FOUND'],
    [416, 'ORIGIN_REFUSED'],
    [418, 'ORIGIN_REFUSED'],
    [429, 'ORIGIN_ERROR'],
    [500, 'ORIGIN_ERROR'],
    [503, 'ORIGIN_ERROR'],
  ]
  for (const [status, code] of cases) {
    test(`${status} is ${code}`, async () => {
      server.serve('/refusing', { refusal: { status } })
      const failure = await failsWith(code, fetchAll('/refusing?signature=secret'))
      assert.match(failure.message, new RegExp(`127\\.0\\.0\\.1:\\d+ answered ${status}`))
      assert.doesNotMatch(failure.message, /secret/)
      await server.when(({ connections }) => connections === 0)
    })
  }

  test('Retry-After stays in the message', async () => {
    server.serve('/busy', {
      lengthBytes: 9,
      refusal: { status: 503, headers: { 'Retry-After': '17' }, times: 2 },
    })
    const failure = await failsWith('ORIGIN_ERROR', fetchAll('/busy'))
    assert.match(failure.message, /Retry-After: 17/)
    await failsWith('ORIGIN_ERROR', fetchAll('/busy'))
    assert.equal((await fetchAll('/busy')).bytes.length, 9)
  })
})

describe('probe', () => {
  const probe = (path: string, headers: OriginRequest['headers'] = []) =>
    origins.probe({ url: server.url + path, headers, signal: new AbortController().signal })

  test('is let in with one byte and leaves nothing open', async () => {
    const file = server.serve('/probe', { lengthBytes: 5000 })
    await probe('/probe')
    assert.equal(file.requests[0].headers.range, 'bytes=0-0')
    assert.ok(file.bodyBytesSent <= 1)
    await server.when(({ connections }) => connections === 0)
  })

  test('is let in where ranges are ignored, and does not read on', async () => {
    const file = server.serve('/probe', { lengthBytes: 100 * KIB * KIB, ranges: 'ignored' })
    await probe('/probe')
    await server.when(({ connections, readers }) => connections === 0 && readers === 0)
    assert.ok(file.bodyBytesSent < 20 * KIB * KIB)
  })

  test('is let in to empty content', async () => {
    server.serve('/probe', { lengthBytes: 0 })
    await probe('/probe')
  })

  test('asks for the caller’s own part', async () => {
    const file = server.serve('/probe', { lengthBytes: 5000 })
    await probe('/probe', [['Range', 'bytes=100-199']])
    assert.equal(file.requests[0].headers.range, 'bytes=100-100')
  })

  test('fails without the right credentials', async () => {
    server.serve('/probe', { lengthBytes: 5000, authorization: 'Bearer right' })
    await failsWith('ORIGIN_UNAUTHORIZED', probe('/probe'))
    await failsWith('ORIGIN_UNAUTHORIZED', probe('/probe', [['Authorization', 'Bearer wrong']]))
    await probe('/probe', [['Authorization', 'Bearer right']])
  })

  test('fails where there is nothing', async () => {
    await failsWith('ORIGIN_NOT_FOUND', probe('/nothing'))
  })
})

function ODD_CHUNKS(): Partial<Behaviour> {
  return { framing: 'chunked', chunkBytes: 1237, chunkExtension: ';name="value"', trailers: { 'X-Sum': '1' } }
}

function BARE(): Partial<Behaviour> {
  return { ranges: 'ignored', etag: null, hasLastModified: false, contentType: null }
}
