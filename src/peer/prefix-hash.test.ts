import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { MemoryContent, patternBytes } from '../../test/support/memory-content.ts'
import { fc } from '../../test/support/properties.ts'
import { digestOf } from '../core/digest.ts'
import type { TaskFile } from '../store/task-file.ts'
import { ContentHash } from './content-hash.ts'
import { PrefixHash } from './prefix-hash.ts'

const PIECE = 1000
const COUNT = 6
const CONTENT = patternBytes((COUNT - 1) * PIECE + 7)
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
const pieceOf = (piece: number) => CONTENT.subarray(piece * PIECE, (piece + 1) * PIECE)
const prefixOf = (piece: number) => sha256(CONTENT.subarray(0, (piece + 1) * PIECE))
/** What the supernode says a piece's digest is; only a prefix digest can vouch for it. */
const told = (piece: number) => new Uint8Array(32).fill(piece)

/** A content whose pieces come into memory of their own; whatever is read from the file shows. */
function startContent() {
  const content = new MemoryContent(CONTENT, PIECE)
  const file = content as unknown as TaskFile
  const hash = new ContentHash()
  let reads = 0
  content.onRead = async () => void reads++
  return {
    get reads() {
      return reads
    },
    arrivalOf(piece: number, prefix = prefixOf(piece)) {
      const memory = new Uint8Array(pieceOf(piece).length)
      const start = piece * PIECE
      const expected = { hash, file, start, digest: told(piece), prefix }
      return new Arrival(piece, memory, new PrefixHash(memory, expected))
    },
    /** As the fetcher does with a piece that counts. */
    store(piece: number, by?: Arrival) {
      hash.add(file, piece * PIECE, pieceOf(piece), by?.hash.fork)
      content.held.add(piece)
      hash.advance(file)
    },
    digest: () => hash.digest(file),
    readOn: () => hash.advance(file),
    hold: (piece: number) => content.held.add(piece),
  }
}

class Arrival {
  readonly piece: number
  readonly hash: PrefixHash
  readonly #memory: Uint8Array
  #bytes = 0

  constructor(piece: number, memory: Uint8Array, hash: PrefixHash) {
    this.piece = piece
    this.#memory = memory
    this.hash = hash
  }

  get isDone(): boolean {
    return this.#bytes === this.#memory.length
  }

  come(count: number, of: Uint8Array = pieceOf(this.piece)): void {
    const fresh = of.subarray(this.#bytes, this.#bytes + count)
    this.#memory.set(fresh, this.#bytes)
    this.#bytes += fresh.length
    this.hash.update(fresh)
  }
}

describe('a piece whose prefix digest is known', () => {
  it('has its digest by the pass that the whole content needs, if it comes in its turn', async () => {
    const content = startContent()
    for (let piece = 0; piece < COUNT; piece++) {
      const arrival = content.arrivalOf(piece)
      while (!arrival.isDone) arrival.come(300)
      assert.deepEqual(arrival.hash.digest(), told(piece))
      content.store(piece, arrival)
    }
    assert.equal(await content.digest(), digestOf(sha256(CONTENT)))
    assert.equal(content.reads, 0)
  })

  it('may begin before the last one has ended', async () => {
    const content = startContent()
    let last = content.arrivalOf(0)
    for (let piece = 0; piece < COUNT; piece++) {
      const next = piece + 1 < COUNT ? content.arrivalOf(piece + 1) : null
      next?.come(300)
      last.come(PIECE)
      assert.deepEqual(last.hash.digest(), told(piece))
      content.store(piece, last)
      if (next) last = next
    }
    assert.equal(await content.digest(), digestOf(sha256(CONTENT)))
    assert.equal(content.reads, 0)
  })

  it('has its own SHA-256 where other bytes come, and the content goes on from what was right', async () => {
    const content = startContent()
    const wrong = pieceOf(0).toReversed()
    const lie = content.arrivalOf(0)
    lie.come(PIECE, wrong)
    assert.deepEqual(lie.hash.digest(), sha256(wrong))
    const truth = content.arrivalOf(0)
    truth.come(PIECE)
    assert.deepEqual(truth.hash.digest(), told(0))
  })

  it('has its own SHA-256 where the prefix digest is wrong', () => {
    const arrival = startContent().arrivalOf(0, sha256(Buffer.from('another content')))
    arrival.come(PIECE)
    assert.deepEqual(arrival.hash.digest(), sha256(pieceOf(0)))
  })

  it('has its own SHA-256 where a piece before it is missing, or is read from the file just now', () => {
    const content = startContent()
    const second = content.arrivalOf(1)
    second.come(PIECE)
    assert.deepEqual(second.hash.digest(), sha256(pieceOf(1)))
    content.hold(0)
    content.readOn()
    const again = content.arrivalOf(1)
    again.come(PIECE)
    assert.deepEqual(again.hash.digest(), sha256(pieceOf(1)))
  })

  it('counts once, where two sources bring it', async () => {
    const content = startContent()
    const two = [content.arrivalOf(0), content.arrivalOf(0)]
    for (const arrival of two) arrival.come(PIECE)
    for (const arrival of two) {
      assert.deepEqual(arrival.hash.digest(), told(0))
      content.store(0, arrival)
    }
    for (let piece = 1; piece < COUNT; piece++) content.store(piece)
    assert.equal(await content.digest(), digestOf(sha256(CONTENT)))
  })

  it('never counts with wrong bytes, nor spoils the content’s digest, however pieces come', async () => {
    const steps = fc.array(
      fc.record({
        piece: fc.nat(COUNT - 1),
        count: fc.integer({ min: 1, max: PIECE }),
        isWrong: fc.boolean(),
      }),
      { maxLength: 60 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async all => {
        const content = startContent()
        const arrivals = new Map<number, { arrival: Arrival; isSpoilt: boolean }>()
        const held = new Set<number>()
        for (const { piece, count, isWrong } of all) {
          const at = arrivals.get(piece) ?? { arrival: content.arrivalOf(piece), isSpoilt: false }
          arrivals.set(piece, at)
          at.isSpoilt ||= isWrong
          at.arrival.come(count, isWrong ? pieceOf(piece).map(byte => byte ^ 1) : undefined)
          if (!at.arrival.isDone) continue
          arrivals.delete(piece)
          const digest = Buffer.from(at.arrival.hash.digest())
          const isRight = digest.equals(told(piece)) || digest.equals(sha256(pieceOf(piece)))
          assert.equal(isRight, !at.isSpoilt)
          if (isRight && !held.has(piece)) content.store(piece, at.arrival)
          if (isRight) held.add(piece)
        }
        for (let piece = 0; piece < COUNT; piece++) if (!held.has(piece)) content.store(piece)
        assert.equal(await content.digest(), digestOf(sha256(CONTENT)))
      }),
      { numRuns: 300 },
    )
  })
})
