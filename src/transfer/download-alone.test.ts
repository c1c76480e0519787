import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  ANSWERED,
  join,
  kinds,
  MIB,
  newScene,
  ORIGIN_FAILED,
  opened,
  type Scene,
  stallMs,
} from '../../test/support/download-scene.ts'

describe('alone', () => {
  /** The supernode is gone; host a holds everything but piece 3. */
  function alone(): Scene {
    const scene = join(newScene())
    scene.assign([0, 'a:1'])
    scene.fetched(0, 'a:1')
    scene.send({ type: 'supernode-lost' }, { type: 'source-holds', source: 'a:1', pieces: [0, 1, 2] })
    scene.pass(4_000)
    return scene
  }

  test('a late piece is fetched from a second known source', () => {
    const scene = alone()
    scene.send({ type: 'supernode-lost' })
    scene.assign([0, 'b:1'])
    scene.send({ type: 'source-holds', source: 'b:1', pieces: [0, 1, 2] })
    const fetches = scene.pass(12_000, [{ type: 'moved', bytes: 1 }]).filter(({ type }) => type === 'fetch')
    assert.deepEqual(
      fetches.map(effect => 'source' in effect && effect.source),
      ['b:1', 'b:1'],
    )
  })

  test('what sources offer but do not send is read from the origin in the end', () => {
    const scene = alone()
    scene.send(
      ANSWERED(scene.version),
      { type: 'origin-piece', piece: 3, bytes: MIB },
      { type: 'origin-ended' },
    )
    const effects = scene.pass(stallMs / 2, [{ type: 'moved', bytes: 1 }])
    assert.deepEqual(opened(effects), [['resume', 1, 3]])
  })

  test('an origin that is out of reach is tried on while a lost supernode may come back', () => {
    const scene = join(newScene())
    scene.send({ type: 'supernode-lost' })
    for (let i = 0; i < 6; i++) {
      scene.pass(9_000)
      scene.send(ORIGIN_FAILED('ORIGIN_UNREACHABLE'))
    }
    assert.equal(scene.failure(), undefined)
    scene.layout()
    assert.deepEqual(kinds(scene.assign([0, 'a:1'])), ['fetch'])
  })

  test('waiting in vain ends with what the origin said, and keeps what is verified', () => {
    const scene = join(newScene())
    scene.send({ type: 'supernode-lost' })
    for (let i = 0; i < 9; i++) {
      scene.pass(9_000)
      scene.send(ORIGIN_FAILED('ORIGIN_UNREACHABLE'))
    }
    const failure = scene.failure() as { code: string; message: string; isDiscarded: boolean }
    assert.deepEqual([failure.code, failure.isDiscarded], ['DOWNLOAD_STALLED', false])
    assert.match(failure.message, /the origin: no/)
  })
})

describe('a machine that was suspended', () => {
  const SUSPENDED_MS = 600_000
  /** What would end if nothing happened for so long, and whether it has ended. */
  const waiting: Record<string, { start: () => Scene; hasEnded: (scene: Scene) => boolean }> = {
    'a download that is alone': {
      start: () => newScene({ hasSupernode: false }),
      hasEnded: scene => scene.failure()?.code === 'DOWNLOAD_STALLED',
    },
    'a supernode that is awaited': {
      start: () => newScene(),
      hasEnded: scene => opened(scene.log).length > 0,
    },
    'a supernode that has let in': {
      start: () => join(newScene()),
      hasEnded: scene => opened(scene.log).length > 0,
    },
    'a piece on its way': {
      start: () => {
        const scene = newScene({ pieces: 6 })
        scene.layout([0, 1, 2, 3, 4, 5])
        scene.send({ type: 'prepared' })
        for (const piece of [1, 2, 3, 4]) {
          scene.assign([piece, 'b:1'])
          scene.fetched(piece, 'b:1')
        }
        scene.assign([0, 'a:1'])
        return scene
      },
      hasEnded: ({ machine }) => machine.takeReport().failed.some(({ code }) => code === 'SOURCE_SLOW'),
    },
  }
  for (const [what, { start, hasEnded }] of Object.entries(waiting)) {
    test(`finds ${what} as it was; the same time lived through ends it`, () => {
      const suspended = start()
      suspended.nowMs += SUSPENDED_MS
      suspended.pass(1_000)
      assert.equal(hasEnded(suspended), false)
      const awake = start()
      awake.pass(SUSPENDED_MS)
      assert.equal(hasEnded(awake), true)
    })
  }

  test('can be suspended again and again, and a silence still ends', () => {
    const scene = join(newScene())
    for (let i = 0; i < 11; i++) {
      assert.deepEqual(opened(scene.log), [])
      scene.nowMs += SUSPENDED_MS
      scene.send({ type: 'tick' })
    }
    assert.equal(opened(scene.log).length, 1)
  })

  test('has not waited meanwhile', () => {
    const scene = join(newScene())
    scene.nowMs += SUSPENDED_MS
    scene.send({ type: 'tick' })
    assert.deepEqual(scene.machine.waits.totals(), { schedule: 2_000 })
  })
})

describe('many that lose their supernode at once', () => {
  const lost = (rank: number) => {
    const scene = join(newScene({ pieces: 6 }))
    const { version } = scene
    const originShare = { rank, readers: 3 }
    scene.send({ type: 'layout', version, digest: null, knownDigests: [], originShare })
    scene.send({ type: 'supernode-lost' })
    return scene
  }

  test('the first few read the origin at once, each from another place', () => {
    for (const [rank, fromPiece] of [
      [0, 0],
      [1, 2],
      [2, 4],
    ]) {
      assert.deepEqual(opened(lost(rank).pass(4_000)), [['resume', fromPiece, null]])
    }
  })

  test('the others wait for as long as something new comes, and then for their turn', () => {
    const scene = lost(3)
    assert.deepEqual(opened(scene.pass(4_500)), [])
    scene.send({ type: 'fetched', piece: 0, source: 'a:1', bytes: MIB, elapsedMs: 100 })
    assert.deepEqual(opened(scene.pass(4_800)), [])
    assert.equal(opened(scene.pass(6_000)).length, 1)
  })
})

describe('a download that must not read the origin', () => {
  test('does not, even where there is no supernode at all', () => {
    assert.deepEqual(opened(newScene({ hasSupernode: false, mayReadOrigin: false }).log), [])
  })

  test('fails where no supernode can be reached', () => {
    const scene = newScene({ mayReadOrigin: false })
    scene.send({ type: 'supernode-unavailable' })
    assert.equal(scene.failure()?.code, 'SUPERNODE_UNREACHABLE')
  })

  test('fails where the supernode refuses to let it in, whatever the reason', () => {
    const scene = newScene({ mayReadOrigin: false })
    scene.send({ type: 'refused', code: 'DISK_FULL', message: 'full' })
    assert.equal(scene.failure()?.code, 'REGISTRATION_REFUSED')
  })

  test('takes what known sources hold when the supernode is lost, and fails for the rest', () => {
    const scene = join(newScene({ mayReadOrigin: false }))
    scene.assign([0, 'a:1'])
    scene.fetched(0, 'a:1')
    scene.send({ type: 'supernode-lost' })
    scene.pass(4_000)
    const fetches = scene.send({ type: 'source-holds', source: 'a:1', pieces: [1] })
    assert.deepEqual(kinds(fetches), ['fetch'])
    scene.fetched(1, 'a:1')
    scene.pass(2 * stallMs)
    assert.deepEqual(scene.failure(), { ...scene.failure(), code: 'DOWNLOAD_STALLED', isDiscarded: false })
    assert.deepEqual(opened(scene.log), [])
  })
})
