import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { taskIdFor } from '../../test/support/control-peer.ts'
import type { Generation } from '../core/generation.ts'
import { PIECE_COUNT_MAX } from '../core/piece-layout.ts'
import type { SupernodeMessages } from '../wire/control.ts'
import type { TaskLink } from './task-link.ts'
import { digestsIn, reportMessage, versionIn } from './translate.ts'

const taskId = taskIdFor({ url: 'http://origin.test/' })
const LAYOUT: SupernodeMessages['layout'] = {
  type: 'layout',
  taskId,
  generation: '0123456789abcdef' as Generation,
  lengthBytes: 3,
  pieceLength: 1024 * 1024,
  token: 't',
  digest: null,
  etag: '"a"',
  lastModified: null,
  pieces: [],
  digests: new Uint8Array(0),
  inline: null,
  originRank: null,
  originReaders: null,
  prefixes: null,
}

describe('what the supernode says', () => {
  it('is believed only as a possible layout', () => {
    assert.deepEqual(versionIn(LAYOUT).layout, { lengthBytes: 3, pieceLength: 1024 * 1024 })
    for (const pieceLength of [0, -1, 2 ** 40]) {
      assert.throws(() => versionIn({ ...LAYOUT, pieceLength }), { code: 'PROTOCOL_INVALID' })
    }
    const huge = { ...LAYOUT, lengthBytes: Number.MAX_SAFE_INTEGER }
    assert.throws(() => versionIn(huge), { code: 'PROTOCOL_INVALID' })
  })

  it('has one digest of 32 bytes for each piece, and one prefix digest or none', () => {
    const digests = Uint8Array.from({ length: 64 }, (_, i) => i)
    const prefixes = digests.toReversed()
    assert.deepEqual(digestsIn({ pieces: [5, 2], digests, prefixes }), [
      { piece: 5, digest: digests.subarray(0, 32), prefix: prefixes.subarray(0, 32) },
      { piece: 2, digest: digests.subarray(32), prefix: prefixes.subarray(32) },
    ])
    const [first] = digestsIn({ pieces: [5, 2], digests, prefixes: null })
    assert.deepEqual(first, { piece: 5, digest: digests.subarray(0, 32), prefix: null })
    const bad = [
      { pieces: [1], digests, prefixes: null },
      { pieces: [1, 2, 3], digests, prefixes: null },
      { pieces: [1, PIECE_COUNT_MAX], digests, prefixes: null },
      { pieces: [1, 2], digests, prefixes: prefixes.subarray(32) },
      { pieces: [1, 2], digests, prefixes: new Uint8Array(96) },
    ]
    for (const message of bad) assert.throws(() => digestsIn(message), { code: 'PROTOCOL_INVALID' })
  })
})

describe('a report', () => {
  it('names sources by all of the supernode’s numbers, and counts what came from others as from the origin', () => {
    const numbers: Record<string, number[]> = { 'known:1': [7], 'back:1': [2, 9] }
    const link = { numbersOf: (source: string) => numbers[source] ?? [] } as unknown as TaskLink
    const message = reportMessage(
      taskId,
      {
        done: [
          { piece: 0, source: 'known:1', elapsedMs: 1.6 },
          { piece: 1, source: 'alien:1', elapsedMs: 1 },
        ],
        failed: [
          { piece: 2, source: 'known:1', code: 'SOURCE_GONE' },
          { piece: 3, source: 'alien:1', code: 'SOURCE_BUSY' },
          { piece: 9, source: 'back:1', code: 'SOURCE_GONE' },
        ],
        released: [
          { piece: 4, source: 'known:1' },
          { piece: 5, source: 'alien:1' },
        ],
        slow: [6],
        fromOrigin: [8],
        reader: { lookAhead: 8, fromByte: 5 },
      },
      link,
    )
    assert.deepEqual(message, {
      type: 'report',
      taskId,
      done: [0, 7, 2],
      failed: [2, 7, 0, 9, 2, 0, 9, 9, 0],
      codes: ['SOURCE_GONE', 'SOURCE_BUSY'],
      released: [4, 7],
      slow: [6],
      fromOrigin: [8, 1],
      lookAhead: 8,
      readFrom: 5,
    })
  })
})
