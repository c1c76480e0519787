import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  ANSWERED,
  DIGEST,
  join,
  kinds,
  MIB,
  newScene,
  OTHER,
  opened,
  type Scene,
  SEED,
  STATUS,
  silenceMs,
  stallMs,
} from '../../test/support/download-scene.ts'
import type { ErrorCode } from '../core/error.ts'
import type { DownloadEffect, DownloadEvent } from './events.ts'

describe('a supernode that goes wrong', () => {
  test('lost before the layout, it is awaited for a grace, then the origin is asked', () => {
    const scene = newScene()
    scene.send({ type: 'supernode-lost' })
    assert.deepEqual(scene.pass(800), [])
    assert.deepEqual(opened(scene.pass(3_000)), [['fresh', 0, null]])
  })

  test('never reached, the origin is asked at once, and gives way when the supernode appears', () => {
    const scene = newScene()
    assert.deepEqual(opened(scene.send({ type: 'supernode-unavailable' })), [['fresh', 0, null]])
    assert.deepEqual(kinds(scene.layout()), ['close-origin', 'adopt'])
  })

  test('that never answers the announce is given up, so that the download ends', () => {
    const scene = newScene()
    assert.deepEqual(scene.pass(2 * stallMs), [])
    assert.deepEqual(opened(scene.pass(1_000)), [['fresh', 0, null]])
    scene.pass(2 * stallMs)
    assert.equal(scene.failure()?.code, 'DOWNLOAD_STALLED')
  })

  test('that answers late because its origin is slow is awaited', () => {
    const scene = newScene()
    scene.pass(65_000)
    assert.deepEqual(kinds(scene.layout()), ['adopt'])
  })

  test('that came meanwhile is told that what it assigns has been late for long', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.pass(10_000)
    assert.deepEqual(scene.machine.takeReport().slow, [0])
    scene.assign([0, 'a:1'])
    assert.deepEqual(scene.machine.takeReport().slow, [0])
    scene.assign([0, 'b:1'])
    assert.deepEqual(scene.machine.takeReport().slow, [])
  })

  test('lost after the layout, known sources are asked what they hold, and the origin for the rest only', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.fetched(0, 'a:1')
    scene.send({ type: 'supernode-lost' })
    const effects = scene.pass(4_000)
    assert.ok(kinds(effects).includes('ask-held'))
    assert.deepEqual(opened(effects), [['resume', 1, null]])
    const more = scene.send({ type: 'source-holds', source: 'a:1', pieces: [1, 3] })
    assert.deepEqual(more.flatMap(effect => (effect.type === 'fetch' ? [effect.piece] : [])).sort(), [1, 3])
  })

  test('back with the same version, the download goes on with what it has', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'], [1, 'a:1'])
    scene.fetched(0, 'a:1')
    scene.send({ type: 'supernode-lost' })
    assert.deepEqual(scene.layout(), [])
    assert.equal(scene.machine.content.held.count, 1)
    assert.deepEqual(scene.assign([1, 'a:1']), [], 'it is on its way still')
    scene.fetched(1, 'a:1')
    assert.equal(scene.machine.takeReport().done.length, 2)
  })

  test('back with another version, the download fails, because versions never mix', () => {
    const scene = join(newScene())
    scene.send({ type: 'supernode-lost' })
    scene.layout([0], OTHER)
    assert.deepEqual(scene.failure()?.code, 'ORIGIN_CHANGED')
  })

  test('with another version than the origin gave, it is ignored from then on', () => {
    const scene = newScene()
    scene.send({ type: 'supernode-unavailable' }, ANSWERED(scene.version), { type: 'prepared' })
    scene.layout([0, 1, 2, 3], OTHER)
    scene.send({ type: 'digests', pieces: [0, 1, 2, 3] })
    assert.deepEqual(scene.assign([1, 'a:1']), [])
    for (const piece of [0, 1, 2, 3]) scene.send({ type: 'origin-piece', piece, bytes: MIB })
    assert.equal(scene.machine.phase, 'verifying')
  })

  test('with the same version cut differently, it is of no use, and the download goes on alone', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    const layout = { lengthBytes: 4 * MIB, pieceLength: 2 * MIB }
    scene.layout([0, 1], { ...scene.version, layout })
    assert.deepEqual(scene.assign([1, 'a:1']), [])
    assert.equal(opened(scene.pass(1_000)).length, 1)
  })

  test('with news of another version when all is here, it does not matter any more', () => {
    const scene = newScene({ stored: [0, 1, 2, 3] })
    scene.layout()
    scene.layout([0], OTHER)
    scene.send({ type: 'refused', code: 'ORIGIN_CHANGED', message: 'changed' })
    assert.equal(kinds(scene.send({ type: 'verified', digest: DIGEST }))[0], 'complete')
  })

  test('silent, it counts as lost; when it speaks again the download announces itself again', () => {
    const scene = join(newScene())
    const effects = scene.pass(silenceMs + 1_000)
    assert.equal(opened(effects).length, 1)
    scene.send(STATUS)
    assert.ok(kinds(scene.pass(1_000)).includes('announce'))
    assert.deepEqual(kinds(scene.layout()), ['close-origin'])
  })

  test('idle, it is told again from time to time what is held', () => {
    const scene = join(newScene())
    const announces = kinds(scene.pass(16_000, [STATUS])).filter(kind => kind === 'announce')
    assert.equal(announces.length, 3)
  })

  test('under which nothing moves for long is left, unless its CDN is receiving', () => {
    const idle = join(newScene())
    assert.equal(opened(idle.pass(2 * stallMs + 1_000, [STATUS])).length, 1)
    const filling = join(newScene())
    for (let originBytes = 1; originBytes < 10; originBytes++) {
      const effects = filling.pass(stallMs, [{ ...STATUS, originBytes } as DownloadEvent])
      assert.deepEqual(opened(effects), [])
    }
  })

  test('under which every fetch fails is left, even if bytes come', () => {
    const scene = join(newScene())
    const lie: DownloadEvent[] = [
      { type: 'assigned', pieces: [{ piece: 0, source: SEED }] },
      { type: 'moved', bytes: MIB },
      { type: 'fetch-failed', piece: 0, source: SEED, code: 'DIGEST_MISMATCH' },
    ]
    assert.equal(opened(scene.pass(2 * stallMs + 2_000, [STATUS, ...lie])).length, 1)
  })

  const refusals: [code: ErrorCode, isEnd: boolean, isDiscarded?: boolean][] = [
    ['SUPERNODE_FAILED', false],
    ['SUPERNODE_OVERLOADED', false],
    ['DISK_FULL', false],
    ['INTERNAL', false],
    ['CANCELLED', false],
    ['ORIGIN_NOT_FOUND', true, true],
    ['ORIGIN_UNAUTHORIZED', true, true],
    ['ORIGIN_UNREACHABLE', true, true],
    ['ORIGIN_CHANGED', true, true],
    ['DIGEST_MISMATCH', true, true],
    ['PROTOCOL_INVALID', true, false],
  ]
  for (const [code, isEnd, isDiscarded] of refusals) {
    test(`that refuses with ${code} ${isEnd ? 'ends the download' : 'is left for the origin'}`, () => {
      const scene = newScene()
      scene.send({ type: 'refused', code, message: 'no' })
      if (isEnd) assert.deepEqual(scene.log, [{ type: 'fail', code, message: 'no', isDiscarded }])
      else assert.equal(opened(scene.pass(4_000)).length, 1)
    })
  }

  const REFUSED: DownloadEvent = { type: 'refused', code: 'DISK_FULL', message: 'full' }

  /** Refusals in answer to every announce; returns the time from each to the next announce. */
  function pausesAfterRefusals(scene: Scene, count: number, answer: () => void = () => {}): number[] {
    return Array.from({ length: count }, () => {
      answer()
      scene.send(REFUSED)
      const refusedAtMs = scene.nowMs
      while (!kinds(scene.pass(200, [{ type: 'moved', bytes: 1 }])).includes('announce')) {
        assert.ok(scene.nowMs - refusedAtMs < 1_000_000, 'it announces again')
      }
      return scene.nowMs - refusedAtMs
    })
  }

  for (const [phase, scene] of [
    ['announcing', newScene()],
    ['receiving', join(newScene())],
  ] as const) {
    test(`that refuses for a reason of its own while ${phase} is announced to again, and takes over when it lets in`, () => {
      scene.send(REFUSED)
      const effects = scene.pass(4_000)
      assert.equal(kinds(effects).filter(kind => kind === 'announce').length, 1, 'its answer is awaited')
      assert.equal(opened(effects).length, 1)
      assert.equal(kinds(scene.layout())[0], 'close-origin')
      if (phase === 'announcing') scene.send({ type: 'prepared' })
      assert.deepEqual(kinds(scene.assign([0, SEED])), ['fetch'])
      assert.deepEqual(opened(scene.pass(10_000, [STATUS])), [])
    })
  }

  test('that goes on refusing is announced to after pauses that double up to half a minute', () => {
    const pauses = pausesAfterRefusals(newScene(), 12)
    const isNear = (pauseMs: number, i: number) => {
      const baseMs = Math.min(1_000 * 2 ** i, 30_000)
      return pauseMs > baseMs * 0.5 && pauseMs < baseMs * 1.5 + 400
    }
    assert.ok(pauses.every(isNear), String(pauses))
  })

  test('that lets in and then refuses, time after time, leaves the stream from the origin ever longer', () => {
    const scene = join(newScene())
    const pauses = pausesAfterRefusals(scene, 8, () => void scene.layout())
    assert.ok(pauses[7] > 64_000, String(pauses))
  })

  test('lost after a long wait, the time to find pieces alone begins then', () => {
    const scene = join(newScene())
    scene.pass(stallMs + 10_000, [STATUS])
    scene.send({ type: 'supernode-lost' })
    scene.pass(stallMs - 5_000)
    assert.equal(scene.failure(), undefined)
    scene.pass(10_000)
    assert.equal(scene.failure()?.code, 'DOWNLOAD_STALLED')
  })

  test('that comes and goes for ever without a piece does not keep the download for ever', () => {
    const scene = join(newScene())
    for (let i = 0; i < 100 && !scene.machine.isOver; i++) {
      scene.send({ type: 'supernode-lost' })
      scene.pass(20_000)
      scene.layout()
      scene.pass(15_000, [STATUS])
    }
    assert.equal(scene.failure()?.code, 'DOWNLOAD_STALLED')
  })
})

describe('a supernode that is away for a moment', () => {
  test('leaves the sources met before: a few at a time are asked at once, and the origin not yet', () => {
    const scene = join(newScene({ pieces: 40 }))
    const sources = Array.from({ length: 40 }, (_, i) => `source-${i}:1`)
    for (const [piece, source] of sources.entries()) scene.assign([piece, source])
    for (const [piece, source] of sources.entries()) scene.failed(piece, source, 'SOURCE_BUSY')
    scene.send({ type: 'supernode-lost' })
    const asked = (effects: DownloadEffect[]) =>
      effects.flatMap(effect => (effect.type === 'ask-held' ? [effect.source] : []))
    const first = asked(scene.pass(200))
    const next = asked(scene.pass(1_000))
    assert.deepEqual([first.length, next.length], [16, 16])
    assert.equal(new Set([...first, ...next]).size, 32)
    assert.deepEqual(opened(scene.log), [])
  })
})
