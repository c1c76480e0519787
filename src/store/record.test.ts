import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { newTask } from '../../test/support/store-fixture.ts'
import { type Digest, digestOf } from '../core/digest.ts'
import type { Generation } from '../core/generation.ts'
import { pieceCount } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'
import { concatBytes, encodeUtf8 } from '../core/text.ts'
import {
  type Completion,
  decodeRecord,
  encodeCompletion,
  encodeHeader,
  encodeLength,
  encodePiece,
  type RecordHeader,
  type TaskRecord,
} from './record.ts'

const hex = (digits: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits })
    .map(all => all.join(''))
const digestBytes = fc.uint8Array({ minLength: 32, maxLength: 32 })
const textOrNull = fc.option(fc.string({ unit: 'binary' }), { nil: null })

type History = {
  header: RecordHeader
  sealedLength: number | null
  pieces: [index: number, digest: Uint8Array, prefix: Uint8Array | null][]
  completion: Completion | null
}

const histories: fc.Arbitrary<History> = fc
  .record({
    taskId: hex(64),
    generation: hex(16),
    name: fc.string({ unit: 'grapheme' }),
    url: fc.string({ unit: 'binary' }),
    etag: textOrNull,
    lastModified: textOrNull,
    lengthBytes: fc.nat(200),
    pieceLength: fc.integer({ min: 1, max: 64 }),
    isSealed: fc.boolean(),
    order: fc.infiniteStream(fc.nat()),
    digest: digestBytes,
    isComplete: fc.boolean(),
    wholeDigest: fc.option(digestBytes, { nil: null }),
  })
  .map(given => {
    const { lengthBytes, pieceLength } = given
    const layout = { lengthBytes: given.isSealed ? null : lengthBytes, pieceLength }
    const count = pieceCount({ lengthBytes, pieceLength })
    const indices = given.isComplete
      ? Array.from({ length: count }, (_, index) => count - 1 - index)
      : count === 0
        ? []
        : Array.from({ length: count }, () => given.order.next().value % count)
    return {
      header: {
        taskId: given.taskId as TaskId,
        generation: given.generation as Generation,
        name: given.name,
        url: given.url,
        validator: { etag: given.etag, lastModified: given.lastModified },
        layout,
      },
      sealedLength: given.isSealed ? lengthBytes : null,
      pieces: indices.map((index, at) => {
        const digest = given.digest.map(byte => byte ^ index)
        return [index, digest, at % 2 === 0 ? null : digest.toReversed()]
      }),
      completion: given.isComplete
        ? {
            fingerprint: { ino: 2n ** 64n - 1n, size: lengthBytes, mtimeNs: 1_700_000_000_123_456_789n },
            digest: given.wholeDigest && digestOf(given.wholeDigest),
          }
        : null,
    }
  })

function linesOf(history: History): string[] {
  const { header, sealedLength, pieces, completion } = history
  return [
    encodeHeader(header),
    ...pieces.map(piece => encodePiece(...piece)),
    ...(sealedLength === null ? [] : [encodeLength(sealedLength)]),
    ...(completion === null ? [] : [encodeCompletion(completion)]),
  ]
}

function decoded(bytes: Uint8Array): TaskRecord {
  const result = decodeRecord(bytes)
  assert(result.kind === 'record', `a record, not ${result.kind}`)
  return result.record
}

test('a record decodes to what was encoded', () => {
  fc.assert(
    fc.property(histories, history => {
      const text = linesOf(history).join('')
      const record = decoded(encodeUtf8(text))
      // What is not well-formed UTF-16 cannot be stored as UTF-8; JSON escapes it.
      assert.deepEqual(record.header, history.header)
      assert.equal(record.layout.lengthBytes, history.sealedLength ?? history.header.layout.lengthBytes)
      const last = new Map(history.pieces.map(([index, ...digests]) => [index, digests]))
      assert.deepEqual([...record.digests.known()].sort(), [...last.keys()].sort())
      for (const [index, digests] of last) {
        const { digests: decodedDigests } = record
        assert.deepEqual([decodedDigests.get(index), decodedDigests.prefix(index)], digests)
      }
      assert.deepEqual(record.completion, history.completion)
      assert.equal(record.trustedBytes, encodeUtf8(text).length)
    }),
  )
})

test('a completion is written as documented: 64 bits do not fit a number', () => {
  const fingerprint = { ino: 2n ** 63n, size: 0, mtimeNs: -1n }
  assert.equal(
    encodeCompletion({ fingerprint, digest: null }),
    '{"complete":{"ino":"9223372036854775808","size":0,"mtimeNs":"-1","digest":null}}\n',
  )
})

test('of a torn record the whole lines are trusted', () => {
  fc.assert(
    fc.property(histories, fc.nat(), (history, cut) => {
      const lines = linesOf(history).map(encodeUtf8)
      const bytes = concatBytes(lines)
      const torn = bytes.subarray(0, cut % bytes.length)
      if (torn.length < lines[0].length) {
        assert.equal(decodeRecord(torn).kind, 'malformed')
        return
      }
      let whole = 0
      for (const line of lines) {
        if (whole + line.length > torn.length) break
        whole += line.length
      }
      const record = decoded(torn)
      assert.equal(record.trustedBytes, whole)
      assert.equal(record.completion, null)
    }),
  )
})

test('a malformed line ends the trusted part, whatever follows', () => {
  const digest = new Uint8Array(32).fill(7)
  const header = encodeHeader(newTask(64))
  const good = header + encodePiece(0, digest, null)
  const bad = [
    '\n',
    '\0\0\0\0\n',
    'null\n',
    '[]\n',
    '{}\n',
    '{"p":-1,"d":"00"}\n',
    `{"p":4,"d":"${'00'.repeat(32)}"}\n`,
    `{"p":1.5,"d":"${'00'.repeat(32)}"}\n`,
    `{"p":1,"d":"${'0G'.repeat(32)}"}\n`,
    `{"p":1,"d":"${'00'.repeat(31)}"}\n`,
    `{"p":1,"d":"${'00'.repeat(32)}","f":"${'00'.repeat(31)}"}\n`,
    `{"p":1,"d":"${'00'.repeat(32)}","f":7}\n`,
    encodeLength(64),
    encodeCompletion({ fingerprint: { ino: 1n, size: 64, mtimeNs: 1n }, digest: null }),
    '{"complete":{"ino":"one","size":70,"mtimeNs":"1","digest":null}}\n',
    header,
  ]
  for (const line of bad) {
    const record = decoded(encodeUtf8(good + line + encodePiece(2, digest, null)))
    assert.deepEqual([...record.digests.known()], [0], line)
    assert.equal(record.trustedBytes, good.length, line)
  }
})

test('pieces after a completion are not trusted, a renewed completion is', () => {
  const digest = new Uint8Array(32).fill(7)
  const first: Completion = { fingerprint: { ino: 1n, size: 10, mtimeNs: 1n }, digest: null }
  const renewed: Completion = {
    fingerprint: { ino: 2n, size: 10, mtimeNs: -3n },
    digest: digestOf(digest) as Digest,
  }
  const text = encodeHeader(newTask(10)) + encodePiece(0, digest, null) + encodeCompletion(first)
  const record = decoded(
    encodeUtf8(text + encodeCompletion(renewed) + encodePiece(0, new Uint8Array(32), null)),
  )
  assert.deepEqual(record.completion, renewed)
  assert.deepEqual(new Uint8Array(record.digests.get(0)!), digest)
})

test('a sealed length that contradicts earlier pieces is not trusted', () => {
  const text = encodeHeader(newTask(null)) + encodePiece(3, new Uint8Array(32), null)
  assert.equal(decoded(encodeUtf8(text + encodeLength(48))).layout.lengthBytes, null)
  assert.equal(decoded(encodeUtf8(text + encodeLength(49))).layout.lengthBytes, 49)
})

test('another version is recognised whatever else its first line has', () => {
  assert.deepEqual(decodeRecord(encodeUtf8('{"v":2,"task":{}}\nbinary\0')), {
    kind: 'unknown version',
    version: 2,
  })
  assert.equal(decodeRecord(encodeUtf8('{"v":"2"}\n')).kind, 'malformed')
})

test('any bytes decode without a throw', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), bytes => void decodeRecord(bytes)))
})
