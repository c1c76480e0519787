import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { MemoryContent, patternBytes } from '../../test/support/memory-content.ts'
import { digestOf } from '../core/digest.ts'
import { PieceDigests } from '../core/piece-digests.ts'
import type { PieceRequest } from '../net/piece-client.ts'
import type { TaskFile } from '../store/task-file.ts'
import type { DownloadEvent } from '../transfer/events.ts'
import { ContentHash } from './content-hash.ts'
import { PieceFetcher, type PieceFetcherHost } from './piece-fetcher.ts'

const PIECE = 1000
const TRUTH = patternBytes(2 * PIECE)
const EVIL = TRUTH.toReversed()
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
const pieceOf = (content: Uint8Array, piece: number) => content.subarray(piece * PIECE, (piece + 1) * PIECE)

const settled = () => new Promise(resolve => setImmediate(resolve))

/** A content that is promised by digest, and a source that sends what the test says. */
function startScene() {
  const stored = new MemoryContent(new Uint8Array(TRUTH.length), PIECE)
  const write = { mayEnd: Promise.resolve() }
  const writing = new Map<number, Promise<void>>()
  const file = Object.assign(stored, {
    has: (piece: number) => writing.has(piece),
    writePiece(piece: number, bytes: Uint8Array) {
      const done =
        writing.get(piece) ??
        write.mayEnd.then(() => {
          stored.bytes.set(bytes, piece * PIECE)
          stored.held.add(piece)
        })
      writing.set(piece, done)
      return done
    },
  }) as unknown as TaskFile
  const knownDigests = new PieceDigests()
  const hash = new ContentHash()
  const events: DownloadEvent[] = []
  let sent: Uint8Array = TRUTH
  let beforeItIsTaken = () => {}
  const host = {
    engine: {
      pieces: {
        async fetch({ range, hash: begin }: PieceRequest) {
          const bytes = sent.slice(range.start, range.end)
          const pieceHash = begin!(bytes)
          pieceHash.update(bytes)
          const digest = pieceHash.digest()
          beforeItIsTaken()
          return { buffer: bytes, bytes, digest, hash: pieceHash, elapsedMs: 1 }
        },
      },
      buffers: { release() {} },
      log: { debug() {} },
    },
    request: {},
    knownDigests,
    hash,
    dispatch: (event: DownloadEvent) => events.push(event),
    file: () => file,
    layout: () => stored.layout,
    token: () => 'token',
    addressOf: () => ({ host: '127.0.0.1', port: 1 }),
    onBytes() {},
    receiver: () => () => {},
    onPiece: () => hash.advance(file),
  } as unknown as PieceFetcherHost
  const fetcher = new PieceFetcher(host)
  return {
    stored,
    write,
    events,
    /** What the supernode says of a piece from now on. */
    vouchFor(content: Uint8Array, piece: number) {
      const prefix = sha256(content.subarray(0, (piece + 1) * PIECE))
      knownDigests.set(piece, sha256(pieceOf(content, piece)), prefix)
    },
    fetch(piece: number, content: Uint8Array, before = () => {}) {
      sent = content
      beforeItIsTaken = before
      return fetcher.fetch(piece, '127.0.0.1:1')
    },
    readOn: () => hash.advance(file),
    wholeDigest: () => hash.digest(file),
  }
}

/** Whatever a supernode says of a piece, now this and now that, the digest of the whole is that of what is in the file. */
describe('the whole content’s digest is that of the file', () => {
  it('where the supernode vouches for other bytes once the right ones have come', async () => {
    const { fetch, vouchFor, stored, events, wholeDigest } = startScene()
    vouchFor(TRUTH, 0)
    vouchFor(TRUTH, 1)
    await fetch(0, TRUTH, () => vouchFor(EVIL, 0))
    await fetch(0, EVIL)
    await fetch(1, TRUTH)
    assert.deepEqual(
      events.map(event => event.type),
      ['fetch-failed', 'fetched', 'fetched'],
    )
    assert.deepEqual(pieceOf(stored.bytes, 0), pieceOf(EVIL, 0))
    assert.equal(await wholeDigest(), digestOf(sha256(stored.bytes)))
  })

  it('where a piece comes again while it is written, and the supernode vouches for other bytes by then', async () => {
    const { fetch, vouchFor, stored, write, readOn, wholeDigest } = startScene()
    vouchFor(EVIL, 1)
    stored.bytes.set(pieceOf(TRUTH, 0))
    stored.held.add(0)
    // While the first piece is read from the file, the second does not get into the digest from memory.
    const reading = Promise.withResolvers<void>()
    stored.onRead = () => reading.promise
    readOn()
    const written = Promise.withResolvers<void>()
    write.mayEnd = written.promise
    const first = fetch(1, EVIL)
    await settled()
    reading.resolve()
    stored.onRead = null
    await settled()
    vouchFor(TRUTH, 1)
    const second = fetch(1, TRUTH)
    await settled()
    written.resolve()
    await Promise.all([first, second])
    assert.deepEqual(pieceOf(stored.bytes, 1), pieceOf(EVIL, 1))
    assert.equal(await wholeDigest(), digestOf(sha256(stored.bytes)))
  })
})
