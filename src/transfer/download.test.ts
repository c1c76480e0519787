import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  ANSWERED,
  DIGEST,
  join,
  kinds,
  MIB,
  newScene,
  ORIGIN_FAILED,
  OTHER,
  opened,
  type Scene,
  SEED,
  STATUS,
  stallMs,
} from '../../test/support/download-scene.ts'
import { worldVersion } from '../../test/support/download-world.ts'
import type { DownloadEvent } from './events.ts'
import { emptyReport } from './report-batch.ts'

describe('the way of a download that nothing disturbs', () => {
  test('with a supernode: adopt, fetch what is assigned, verify, complete', () => {
    const scene = newScene()
    assert.deepEqual(kinds(scene.layout()), ['adopt'])
    assert.equal(scene.machine.phase, 'preparing')
    scene.send({ type: 'prepared' })
    const fetches = scene.assign([0, SEED], [1, 'a:1'], [2, 'a:1'], [3, 'b:1'])
    assert.deepEqual(kinds(fetches), ['fetch', 'fetch', 'fetch', 'fetch'])
    scene.fetched(0, SEED)
    scene.fetched(1, 'a:1')
    scene.fetched(2, 'a:1')
    assert.deepEqual(kinds(scene.fetched(3, 'b:1')), ['verify'])
    assert.deepEqual(scene.send({ type: 'verified', digest: DIGEST }), [{ type: 'complete', digest: DIGEST }])
    assert.deepEqual(scene.machine.bytes, { origin: 0, supernode: MIB, peers: 3 * MIB, local: 0 })
    assert.equal(scene.machine.takeReport().done.length, 4)
    assert.deepEqual([...scene.machine.usedSources], [SEED, 'a:1', 'b:1'])
  })

  test('without a supernode the origin gives all, and a length that it did not say', () => {
    const scene = newScene({ hasSupernode: false })
    assert.deepEqual(opened(scene.log), [['fresh', 0, null]])
    assert.deepEqual(kinds(scene.send(ANSWERED(worldVersion(null)))), ['adopt'])
    scene.send({ type: 'prepared' })
    for (const piece of [0, 1]) scene.send({ type: 'origin-piece', piece, bytes: MIB })
    const sealed = scene.send({ type: 'origin-length', lengthBytes: 2 * MIB + 5 })
    assert.deepEqual(sealed, [{ type: 'seal', lengthBytes: 2 * MIB + 5 }])
    const last = scene.send({ type: 'origin-piece', piece: 2, bytes: 5 })
    assert.deepEqual(kinds(last), ['close-origin', 'verify'])
    assert.equal(scene.machine.bytes.origin, 2 * MIB + 5)
  })

  test('an empty task is verified at once', () => {
    const scene = newScene({ pieces: 0 })
    scene.layout([])
    assert.deepEqual(kinds(scene.send({ type: 'prepared' })), ['verify'])
  })

  test('what is held already is not fetched, only confirmed', () => {
    const withSupernode = newScene({ stored: [0, 1, 2, 3] })
    assert.deepEqual(kinds(withSupernode.layout()), ['verify'])
    assert.equal(withSupernode.machine.bytes.local, 4 * MIB)
    const without = newScene({ stored: [0, 1, 2, 3], hasSupernode: false })
    assert.deepEqual(opened(without.log), [['revalidate', 0, null]])
    const { version } = without
    const effects = without.send({ type: 'origin-answered', kind: 'unchanged', version })
    assert.deepEqual(kinds(effects), ['close-origin', 'verify'])
  })

  test('what was stored of the same version is resumed, of another one discarded', () => {
    const same = newScene({ stored: [0, 2], hasSupernode: false })
    assert.deepEqual(opened(same.log), [['resume', 1, 2]])
    const other = newScene({ stored: [0, 2] })
    assert.deepEqual(kinds(other.layout([0], OTHER)), ['adopt'])
    assert.equal(other.machine.content.held.count, 0)
    assert.equal(other.machine.bytes.local, 0)
  })

  test('digests of a version that was discarded are forgotten', () => {
    const scene = newScene({ stored: [0, 2] })
    scene.layout([3], OTHER)
    scene.send({ type: 'prepared' })
    assert.deepEqual(scene.assign([2, 'a:1'], [3, 'a:1']), [{ type: 'fetch', piece: 3, source: 'a:1' }])
  })

  test('what comes before there is a place on disk waits, in order', () => {
    const scene = newScene()
    scene.layout()
    assert.deepEqual(scene.assign([0, 'a:1'], [1, 'a:1']), [])
    assert.deepEqual(scene.send({ type: 'revoked', pieces: [{ piece: 0, source: 'a:1' }] }), [])
    assert.deepEqual(kinds(scene.send({ type: 'prepared' })), ['fetch', 'fetch', 'cancel-fetch'])
    assert.deepEqual(scene.machine.takeReport().released, [{ piece: 0, source: 'a:1' }])
  })

  test('of what waits nothing is handled any more once one of it has ended the download', () => {
    const scene = newScene()
    scene.layout()
    const refused: DownloadEvent = { type: 'refused', code: 'ORIGIN_NOT_FOUND', message: 'gone' }
    scene.send(refused, refused)
    assert.deepEqual(kinds(scene.send({ type: 'prepared' })), ['fail'])
  })

  test('a piece whose digest is not known yet is not fetched', () => {
    const scene = newScene()
    scene.layout([0])
    scene.send({ type: 'prepared' })
    assert.deepEqual(scene.assign([1, 'a:1']), [])
    scene.send({ type: 'digests', pieces: [1] })
    assert.deepEqual(kinds(scene.assign([1, 'a:1'])), ['fetch'])
  })
})

describe('sources that go wrong', () => {
  test('a source that fails is reported with its code, and fetched from again when assigned again', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.failed(0, 'a:1', 'SOURCE_GONE')
    assert.deepEqual(scene.machine.takeReport().failed, [{ piece: 0, source: 'a:1', code: 'SOURCE_GONE' }])
    assert.deepEqual(kinds(scene.assign([0, 'a:1'])), ['fetch'])
    assert.equal(scene.machine.retries, 1)
  })

  test('a source that lied is never fetched from again, and the supernode is told why', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.failed(0, 'a:1', 'DIGEST_MISMATCH')
    scene.machine.takeReport()
    assert.deepEqual(scene.assign([1, 'a:1']), [])
    assert.deepEqual(scene.machine.takeReport().failed, [
      { piece: 1, source: 'a:1', code: 'DIGEST_MISMATCH' },
    ])
    scene.send({ type: 'supernode-lost' })
    scene.send({ type: 'source-holds', source: 'a:1', pieces: [0, 1, 2, 3] })
    assert.ok(!kinds(scene.pass(20_000)).includes('fetch'))
  })

  test('what a source says after it was banned does not count', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.send({ type: 'supernode-lost' })
    scene.failed(0, 'a:1', 'SOURCE_GONE')
    scene.send({ type: 'source-holds', source: 'a:1', pieces: [0, 1, 2, 3] })
    assert.ok(!kinds(scene.pass(5_000)).includes('fetch'))
  })

  test('a late piece is called slow once, may come from a second source, and the loser is released', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.pass(10_000, [STATUS])
    assert.deepEqual(scene.machine.takeReport().slow, [0])
    assert.deepEqual(kinds(scene.assign([0, 'b:1'])), ['fetch'])
    assert.deepEqual(scene.fetched(0, 'b:1'), [{ type: 'cancel-fetch', piece: 0, source: 'a:1' }])
    const { done, released } = scene.machine.takeReport()
    assert.deepEqual([done.length, released], [1, [{ piece: 0, source: 'a:1' }]])
  })

  test('a source is given up once it needs many times what others need, and after ten minutes at the latest', () => {
    for (const [samples, afterMs] of [
      [4, 15_000],
      [0, 600_000],
    ]) {
      const scene = newScene({ pieces: 6 })
      scene.layout([0, 1, 2, 3, 4, 5])
      scene.send({ type: 'prepared' })
      for (let piece = 1; piece <= samples; piece++) {
        scene.assign([piece, 'b:1'])
        scene.fetched(piece, 'b:1')
      }
      scene.assign([0, 'a:1'])
      scene.pass(afterMs - 200, [STATUS, { type: 'moved', bytes: 1 }])
      assert.equal(scene.machine.takeReport().failed.length, 0)
      scene.pass(1_000, [STATUS])
      assert.deepEqual(scene.machine.takeReport().failed, [{ piece: 0, source: 'a:1', code: 'SOURCE_SLOW' }])
    }
  })

  test('a cancelled fetch that fails says nothing about the same fetch ordered anew', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.send({ type: 'revoked', pieces: [{ piece: 0, source: 'a:1' }] })
    scene.assign([0, 'a:1'])
    scene.machine.takeReport()
    scene.failed(0, 'a:1', 'CANCELLED')
    assert.equal(scene.machine.takeReport().failed.length, 0)
    scene.fetched(0, 'a:1')
    assert.equal(scene.machine.takeReport().done.length, 1)
  })

  test('a piece that arrives after it was given up is kept, counted once, and reported as held', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.send({ type: 'revoked', pieces: [{ piece: 0, source: 'a:1' }] })
    scene.machine.takeReport()
    scene.fetched(0, 'a:1')
    const { done, fromOrigin } = scene.machine.takeReport()
    assert.deepEqual([done, fromOrigin], [[], [0]])
    scene.fetched(0, 'a:1')
    assert.equal(scene.machine.bytes.peers, MIB)
  })

  test('what is held and yet assigned is released, and named as held, even after completion', () => {
    const scene = newScene({ stored: [0, 1, 2, 3] })
    scene.layout()
    scene.assign([2, 'a:1'])
    assert.deepEqual(scene.machine.takeReport().fromOrigin, [2])
    scene.send({ type: 'verified', digest: DIGEST })
    assert.deepEqual(scene.assign([3, 'a:1']), [])
    const { released, fromOrigin } = scene.machine.takeReport()
    assert.deepEqual([released, fromOrigin], [[{ piece: 3, source: 'a:1' }], [3]])
  })
})

describe('an origin that goes wrong', () => {
  test('that fails and then works is tried again after growing pauses, from the missing piece', () => {
    const scene = newScene({ hasSupernode: false })
    scene.send(ANSWERED(scene.version), { type: 'prepared' })
    scene.send({ type: 'origin-piece', piece: 0, bytes: MIB }, ORIGIN_FAILED('ORIGIN_TRUNCATED'))
    assert.deepEqual(scene.pass(200), [])
    assert.equal(scene.machine.waits.reason, 'backoff')
    assert.deepEqual(opened(scene.pass(1_000)), [['resume', 1, null]])
  })

  test('that goes on failing is given up after so many tries without a new piece', () => {
    const scene = newScene({ hasSupernode: false })
    scene.send(ORIGIN_FAILED('ORIGIN_UNREACHABLE'))
    scene.pass(2_000)
    scene.send(ORIGIN_FAILED('ORIGIN_STALLED'))
    scene.pass(4_000)
    scene.send(ORIGIN_FAILED('ORIGIN_ERROR'))
    assert.equal(scene.failure()?.code, 'ORIGIN_ERROR')
    assert.equal(scene.machine.retries, 3)
  })

  test('that says no is not asked twice', () => {
    for (const code of ['ORIGIN_NOT_FOUND', 'ORIGIN_UNAUTHORIZED', 'ORIGIN_CHANGED'] as const) {
      const scene = newScene({ hasSupernode: false })
      scene.send(ORIGIN_FAILED(code))
      assert.deepEqual([scene.failure()?.code, scene.failure()?.isDiscarded], [code, true])
    }
  })

  test('that ends without a missing piece has failed, however often it does so', () => {
    const scene = newScene({ hasSupernode: false })
    scene.send(ANSWERED(scene.version), { type: 'prepared' })
    for (let i = 0; i < 5 && !scene.machine.isOver; i++) {
      scene.send({ type: 'origin-ended' })
      scene.pass(3_000)
    }
    assert.equal(scene.failure()?.code, 'ORIGIN_TRUNCATED')
  })

  test('that changed in between ends the download', () => {
    const scene = newScene({ hasSupernode: false })
    scene.send(ANSWERED(scene.version), { type: 'prepared' }, { type: 'origin-piece', piece: 0, bytes: MIB })
    scene.send(ORIGIN_FAILED('ORIGIN_TRUNCATED'))
    scene.pass(2_000)
    scene.send(ANSWERED(OTHER))
    assert.equal(scene.failure()?.code, 'ORIGIN_CHANGED')
  })

  test('a piece that comes from a peer and from the origin counts once', () => {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.send({ type: 'supernode-lost' })
    scene.pass(4_000)
    scene.fetched(0, 'a:1')
    scene.send({ type: 'origin-piece', piece: 0, bytes: MIB })
    assert.deepEqual(scene.machine.bytes, { origin: 0, supernode: 0, peers: MIB, local: 0 })
  })
})

describe('an origin without ranges', () => {
  test('that sends again what is held is no stall as long as it sends, whatever failed before', () => {
    const scene = join(newScene())
    scene.fetched(0, 'a:1')
    for (let i = 0; i < 10; i++) {
      scene.assign([1, `s${i}:1`])
      scene.failed(1, `s${i}:1`, 'SOURCE_GONE')
    }
    scene.send({ type: 'supernode-unavailable' })
    scene.pass(2 * stallMs, [{ type: 'moved', bytes: 1 }])
    assert.equal(scene.failure(), undefined)
    scene.pass(stallMs + 1_000)
    assert.equal(scene.failure()?.code, 'DOWNLOAD_STALLED')
  })
})

describe('the end', () => {
  test('a complete download claims nothing of a version that it has dismissed', () => {
    const scene = newScene({ stored: [0, 1, 2, 3] })
    scene.layout()
    assert.equal(scene.machine.phase, 'verifying')
    scene.layout([0], OTHER)
    scene.send({ type: 'verified', digest: null })
    scene.assign([0, 'a:1'])
    assert.deepEqual(scene.machine.takeReport(), emptyReport())
  })

  const phases: Record<string, () => Scene> = {
    announcing: () => newScene(),
    preparing: () => {
      const scene = newScene()
      scene.layout()
      return scene
    },
    receiving: () => join(newScene()),
    verifying: () => {
      const scene = newScene({ stored: [0, 1, 2, 3] })
      scene.layout()
      return scene
    },
  }
  for (const [phase, at] of Object.entries(phases)) {
    test(`a download that is ${phase} can be cancelled`, () => {
      const scene = at()
      assert.equal(scene.machine.phase, phase)
      if (phase === 'receiving') scene.assign([0, 'a:1'])
      const effects = scene.send({ type: 'cancelled' })
      assert.deepEqual(kinds(effects), phase === 'receiving' ? ['cancel-fetch', 'fail'] : ['fail'])
      assert.deepEqual([scene.failure()?.code, scene.failure()?.isDiscarded], ['CANCELLED', false])
    })

    test(`a disk that fails while ${phase} ends the download`, () => {
      const scene = at()
      scene.send({ type: 'stored-failed', code: 'DISK_FULL', message: 'full' })
      assert.deepEqual([scene.failure()?.code, scene.failure()?.isDiscarded], ['DISK_FULL', false])
      assert.deepEqual(scene.send({ type: 'cancelled' }, { type: 'tick' }, STATUS), [])
    })
  }

  test('waits add up to the time in which nothing was on its way', () => {
    const scene = newScene()
    scene.pass(1_000)
    join(scene)
    scene.pass(2_000)
    scene.assign([0, 'a:1'])
    scene.pass(5_000)
    scene.fetched(0, 'a:1')
    scene.pass(1_000)
    assert.deepEqual(scene.machine.waits.totals(), { layout: 1_000, schedule: 3_000 })
  })
})
