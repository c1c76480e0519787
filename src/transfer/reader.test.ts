import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ANSWERED, kinds, MIB, newScene, opened, type Scene } from '../../test/support/download-scene.ts'
import type { DownloadEffect } from './events.ts'
import type { Reader } from './reader.ts'

const PIECES = 20
const ALL = Array.from({ length: PIECES }, (_, piece) => piece)
const from = (piece: number, lookAhead = 4): Reader => ({ lookAhead, fromByte: piece * MIB + 5 })
const fetchedPieces = (effects: readonly DownloadEffect[]) =>
  effects.flatMap(effect => (effect.type === 'fetch' ? effect.piece : []))

describe('who reads from further on, without a supernode', () => {
  /** Host a was met, and holds everything; then the supernode was lost. */
  function alone(reader: Reader | null): Scene {
    const scene = newScene({ pieces: PIECES, reader })
    scene.layout(ALL)
    scene.send({ type: 'prepared' })
    scene.assign([0, 'a:1'])
    scene.fetched(0, 'a:1')
    scene.send({ type: 'supernode-lost' })
    return scene
  }

  test('asks known hosts for those pieces first, then for the others', () => {
    const scene = alone(from(12))
    const asked: number[] = []
    const look = (effects: readonly DownloadEffect[]) => {
      for (const piece of fetchedPieces(effects)) {
        const { held } = scene.machine.content
        const start = held.firstMissing(12) < PIECES ? held.firstMissing(12) : held.firstMissing()
        const needed = ALL.slice(start, start + 4).filter(each => !held.has(each) && !asked.includes(each))
        if (needed.length > 0) assert.ok(needed.includes(piece), `${piece} where ${needed} are needed`)
        asked.push(piece)
      }
    }
    look(scene.send({ type: 'source-holds', source: 'a:1', pieces: ALL }))
    for (let i = 0; i < asked.length; i++) look(scene.fetched(asked[i], 'a:1'))
    assert.deepEqual(
      asked.sort((a, b) => a - b),
      ALL.slice(1),
    )
    assert.equal(scene.machine.phase, 'verifying')
  })

  test('asks from where the latest reader is', () => {
    const scene = alone(null)
    scene.send({ type: 'reader-moved', reader: from(16, 2) })
    const asked = fetchedPieces(scene.send({ type: 'source-holds', source: 'a:1', pieces: ALL }))
    assert.deepEqual(asked.sort(), [16, 17])
  })

  test('tells the supernode once where the reader is', () => {
    const scene = alone(null)
    scene.machine.takeReport()
    scene.send({ type: 'reader-moved', reader: from(16) })
    assert.deepEqual(scene.machine.takeReport().reader, from(16))
    assert.equal(scene.machine.takeReport().reader, null)
    assert.deepEqual(scene.machine.content.reader, from(16))
  })
})

describe('who reads from further on, from the origin', () => {
  test('has the content from there on first, and then what lies before', () => {
    const scene = newScene({ hasSupernode: false, pieces: PIECES, reader: from(12) })
    assert.deepEqual(opened(scene.log), [['fresh', 0, null]])
    assert.deepEqual(kinds(scene.send(ANSWERED(scene.version))), ['adopt', 'close-origin'])
    assert.deepEqual(opened(scene.send({ type: 'prepared' })), [['resume', 12, null]])
    scene.send(ANSWERED(scene.version))
    for (const piece of ALL.slice(12)) scene.send({ type: 'origin-piece', piece, bytes: MIB })
    assert.deepEqual(opened(scene.send({ type: 'origin-ended' })), [['resume', 0, 12]])
    scene.send(ANSWERED(scene.version))
    for (const piece of ALL.slice(0, 12)) scene.send({ type: 'origin-piece', piece, bytes: MIB })
    assert.equal(scene.machine.phase, 'verifying')
  })

  test('has it in one stream where the reader begins in the first piece, beyond the end or nowhere', () => {
    for (const reader of [null, from(0), { lookAhead: 4, fromByte: 0 }, from(PIECES)]) {
      const scene = newScene({ hasSupernode: false, pieces: PIECES, reader })
      assert.deepEqual(kinds(scene.send(ANSWERED(scene.version))), ['adopt'])
      assert.deepEqual(kinds(scene.send({ type: 'prepared' })), [])
    }
  })

  test('has it in one stream where nothing could prove that the rest is of the same version', () => {
    for (const [validator, isGivenUp] of [
      [{ etag: null, lastModified: null }, false],
      [{ etag: 'W/"weak"', lastModified: null }, false],
      [{ etag: null, lastModified: 'Thu, 01 Jan 1970 00:00:00 GMT' }, true],
    ] as const) {
      const scene = newScene({ hasSupernode: false, pieces: PIECES, reader: from(12) })
      const effects = kinds(scene.send(ANSWERED({ ...scene.version, validator })))
      assert.deepEqual(effects.includes('close-origin'), isGivenUp)
    }
  })

  test('has it in one stream where the origin does not say the length', () => {
    const scene = newScene({ hasSupernode: false, pieces: PIECES, reader: from(12) })
    const layout = { lengthBytes: null, pieceLength: MIB }
    assert.deepEqual(kinds(scene.send(ANSWERED({ ...scene.version, layout }))), ['adopt'])
  })

  test('goes on where the reader is, from what an earlier run has left', () => {
    const scene = newScene({ hasSupernode: false, pieces: PIECES, stored: [3, 12, 13], reader: from(12) })
    assert.deepEqual(opened(scene.log), [['resume', 14, null]])
  })
})
