import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import {
  BodyDecoder,
  type BodyFraming,
  findHeadEnd,
  framingOf,
  parseResponseHead,
  type ResponseHead,
} from './http1.ts'

const invalid = { code: 'PROTOCOL_INVALID' }

/** Decodes `wire` as it comes in pieces of the given sizes, taking at most `limit` bytes of payload at a time. */
function decode(framing: BodyFraming, wire: Buffer, options: { cuts: number[]; limit: number }) {
  const decoder = new BodyDecoder(framing)
  const payload: Buffer[] = []
  let position = 0
  for (const cut of [...options.cuts, wire.length]) {
    const end = Math.min(wire.length, position + cut)
    while (position < end && !decoder.isDone) {
      decoder.step(wire, position, end, options.limit)
      assert.ok(decoder.payloadEnd - decoder.payloadStart <= options.limit)
      assert.ok(decoder.next > position, 'every step makes progress')
      payload.push(Buffer.from(wire.subarray(decoder.payloadStart, decoder.payloadEnd)))
      position = decoder.next
    }
  }
  return { payload: Buffer.concat(payload), isDone: decoder.isDone, mayEndHere: decoder.mayEndHere, position }
}

function chunked(parts: Uint8Array[], trailer: string): Buffer {
  const chunks = parts.filter(part => part.length > 0)
  const pieces = chunks.flatMap((part, i) => {
    const size = i % 2 ? part.length.toString(16).toUpperCase() : `00${part.length.toString(16)};name="value"`
    return [Buffer.from(`${size}\r\n`), Buffer.from(part), Buffer.from('\r\n')]
  })
  return Buffer.concat([...pieces, Buffer.from(`0\r\n${trailer}\r\n`)])
}

function head(lines: string): ResponseHead {
  return parseResponseHead(Buffer.from(`HTTP/1.1 200 OK\r\n${lines}\r\n`))
}

const cuts = fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 40 })
const limit = fc.integer({ min: 1, max: 64 })

test('a body of known length decodes the same however it is split, and nothing behind it is taken', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array(),
      cuts,
      limit,
      (body, rest, cuts, limit) => {
        const framing: BodyFraming = { kind: 'length', lengthBytes: body.length }
        const decoded = decode(framing, Buffer.concat([body, rest]), { cuts, limit })
        assert.ok(decoded.payload.equals(body))
        assert.deepEqual([decoded.isDone, decoded.position], [true, body.length])
      },
    ),
  )
})

test('a chunked body decodes the same however it is split, and nothing behind it is taken', () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 })
  const trailer = fc.constantFrom('', 'Digest: abc\r\n', 'A: b\r\nC: d\r\n')
  fc.assert(
    fc.property(parts, trailer, fc.uint8Array(), cuts, limit, (parts, trailer, rest, cuts, limit) => {
      const wire = chunked(parts, trailer)
      const decoded = decode({ kind: 'chunked' }, Buffer.concat([wire, rest]), { cuts, limit })
      assert.ok(decoded.payload.equals(Buffer.concat(parts)))
      assert.deepEqual([decoded.isDone, decoded.position], [true, wire.length])
    }),
  )
})

test('a body that ends with the connection is all that comes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), cuts, limit, (body, cuts, limit) => {
      const decoded = decode({ kind: 'close' }, Buffer.from(body), { cuts, limit })
      assert.ok(decoded.payload.equals(body))
      assert.deepEqual([decoded.isDone, decoded.mayEndHere], [false, true])
    }),
  )
})

test('a body that is cut short is not complete', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.nat(), (body, at) => {
      const wire = chunked([body], '')
      const short = wire.subarray(0, at % wire.length)
      assert.equal(decode({ kind: 'chunked' }, short, { cuts: [], limit: 1000 }).mayEndHere, false)
      const framing: BodyFraming = { kind: 'length', lengthBytes: body.length }
      assert.equal(
        decode(framing, Buffer.from(body.subarray(0, -1)), { cuts: [], limit: 1000 }).mayEndHere,
        false,
      )
    }),
  )
})

test('broken chunks are refused', () => {
  for (const wire of [
    'x\r\n',
    '-1\r\n',
    '\r\n',
    '5\r\nhellox\r\n',
    '1000000000000000\r\n',
    ' 5\r\n',
    '0x5\r\n',
    '5 5\r\n',
  ]) {
    assert.throws(
      () => decode({ kind: 'chunked' }, Buffer.from(wire), { cuts: [], limit: 100 }),
      invalid,
      wire,
    )
  }
})

test('how much payload comes next is known within a length, a chunk, and until the connection ends', () => {
  const sized = new BodyDecoder({ kind: 'length', lengthBytes: 5 })
  assert.equal(sized.payloadAheadBytes, 5)
  sized.step(Buffer.from('abc'), 0, 3, 9)
  assert.equal(sized.payloadAheadBytes, 2)
  sized.step(Buffer.from('de'), 0, 2, 9)
  assert.equal(sized.payloadAheadBytes, 0)
  const chunked = new BodyDecoder({ kind: 'chunked' })
  assert.equal(chunked.payloadAheadBytes, 0)
  const wire = Buffer.from('3\r\nabc\r\n0\r\n\r\n')
  chunked.step(wire, 0, 4, 9)
  assert.equal(chunked.payloadAheadBytes, 2)
  chunked.step(wire, 4, wire.length, 9)
  assert.equal(chunked.payloadAheadBytes, 0)
  const untilClose = new BodyDecoder({ kind: 'close' })
  assert.equal(untilClose.payloadAheadBytes, Number.POSITIVE_INFINITY)
})

test('chunk lines and trailers have a limit', () => {
  const endless = { kind: 'chunked' } as const
  const line = Buffer.from(`5;${'x'.repeat(9000)}`)
  assert.throws(() => decode(endless, line, { cuts: [], limit: 100 }), invalid)
  const trailer = Buffer.from(`0\r\n${`A: ${'b'.repeat(1000)}\r\n`.repeat(100)}`)
  assert.throws(() => decode(endless, trailer, { cuts: [], limit: 100 }), invalid)
})

test('any bytes either decode or are refused, and never loop', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), cuts, (bytes, cuts) => {
      try {
        decode({ kind: 'chunked' }, Buffer.from(bytes), { cuts, limit: 7 })
      } catch (thrown) {
        assert.equal((thrown as { code?: string }).code, invalid.code)
      }
    }),
  )
})

test('the end of a head is found wherever it is split', () => {
  const withCr = Buffer.from('HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n')
  const bare = Buffer.from('HTTP/1.1 200 OK\nA: b\n\nbody\n\n')
  for (const wire of [withCr, bare]) {
    const expected = wire.indexOf('body')
    for (let split = 0; split <= wire.length; split++) {
      const early = findHeadEnd(wire, 0, split)
      assert.equal(early, split >= expected ? expected : -1)
      if (early < 0) assert.equal(findHeadEnd(wire, split, wire.length), expected, `split at ${split}`)
    }
  }
})

test('a head is parsed into status and fields with lower-case names', () => {
  const parsed = parseResponseHead(
    Buffer.from('HTTP/1.1 206 Partial Content\r\nContent-Length:  5 \r\nX-A: 1\r\nx-a: 2\r\nEmpty:\r\n\r\n'),
  )
  assert.equal(parsed.status, 206)
  assert.deepEqual(
    [...parsed.headers],
    [
      ['content-length', '5'],
      ['x-a', '1, 2'],
      ['empty', ''],
    ],
  )
})

test('the reason may be missing, bytes beyond ASCII are kept', () => {
  assert.equal(parseResponseHead(Buffer.from('HTTP/1.1 204\r\n\r\n')).status, 204)
  assert.equal(
    parseResponseHead(Buffer.from('HTTP/1.0 200 \xe9\r\nA: \xe9\r\n\r\n', 'latin1')).headers.get('a'),
    'é',
  )
})

test('keep-alive is the default of 1.1 and an option of 1.0', () => {
  const isKept = (first: string, connection: string) =>
    parseResponseHead(Buffer.from(`${first} 200 OK\r\n${connection}\r\n`)).isKeepAlive
  assert.equal(isKept('HTTP/1.1', ''), true)
  assert.equal(isKept('HTTP/1.1', 'Connection: Close\r\n'), false)
  assert.equal(isKept('HTTP/1.0', ''), false)
  assert.equal(isKept('HTTP/1.0', 'Connection: Keep-Alive\r\n'), true)
})

test('what is not an HTTP/1.x head is refused', () => {
  for (const text of [
    '',
    'HTTP/2 200',
    'HTTP/1.1 20',
    'HTTP/1.1 2000 OK',
    'SSH-2.0',
    'HTTP/1.1 200OK',
    ' HTTP/1.1 200 OK',
  ]) {
    assert.throws(() => parseResponseHead(Buffer.from(`${text}\r\n\r\n`)), invalid, text)
  }
  for (const line of ['no colon', ' folded: x', 'na me: x', 'name : x', ': x', 'a: b\rc']) {
    assert.throws(() => parseResponseHead(Buffer.from(`HTTP/1.1 200 OK\r\n${line}\r\n\r\n`)), invalid, line)
  }
})

test('any bytes are a head or refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      try {
        parseResponseHead(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n'), bytes]))
      } catch (thrown) {
        assert.equal((thrown as { code?: string }).code, invalid.code)
      }
    }),
  )
})

test('the framing follows from method, status and fields', () => {
  assert.deepEqual(framingOf(head('Content-Length: 5\r\n'), 'GET'), { kind: 'length', lengthBytes: 5 })
  assert.deepEqual(framingOf(head('Content-Length: 5, 5\r\n'), 'GET'), { kind: 'length', lengthBytes: 5 })
  assert.deepEqual(framingOf(head('Content-Length: 5\r\n'), 'HEAD'), { kind: 'length', lengthBytes: 0 })
  assert.deepEqual(framingOf(head('Transfer-Encoding: Chunked\r\n'), 'GET'), { kind: 'chunked' })
  assert.deepEqual(framingOf(head(''), 'GET'), { kind: 'close' })
  for (const status of [204, 304]) {
    const empty = parseResponseHead(Buffer.from(`HTTP/1.1 ${status} x\r\nContent-Length: 5\r\n\r\n`))
    assert.deepEqual(framingOf(empty, 'GET'), { kind: 'length', lengthBytes: 0 })
  }
})

test('contradictory or malformed lengths are refused', () => {
  for (const lines of [
    'Content-Length: 5\r\nContent-Length: 6\r\n',
    'Content-Length: -1\r\n',
    'Content-Length: 5x\r\n',
    'Content-Length:\r\n',
    'Content-Length: 1234567890123456\r\n',
    'Transfer-Encoding: gzip, chunked\r\n',
  ]) {
    assert.throws(() => framingOf(head(lines), 'GET'), invalid, lines)
  }
})
