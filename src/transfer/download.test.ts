import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { worldVersion } from '../../test/support/download-world.ts'
import { Bitmap } from '../core/bitmap.ts'
import type { Digest } from '../core/digest.ts'
import type { ErrorCode } from '../core/error.ts'
import type { Generation } from '../core/generation.ts'
import { seededRandom } from '../core/random.ts'
import type { Version } from '../core/version.ts'
import { Download } from './download.ts'
import { DEFAULT_LIMITS } from './download-options.ts'
import type { DownloadEffect, DownloadEvent } from './events.ts'
import { emptyReport } from './report-batch.ts'

const MIB = 1024 * 1024
const SEED = 'seed:8001'
const DIGEST = `sha256:${'1'.repeat(64)}` as Digest
const OTHER = { ...worldVersion(4 * MIB), generation: 'bbbbbbbbbbbbbbbb' as Generation }

const { silenceMs, stallMs } = DEFAULT_LIMITS

type Scene = ReturnType<typeof newScene>

/** One download, its clock, and what it said. */
function newScene(options: { hasSupernode?: boolean; stored?: number[]; pieces?: number } = {}) {
  const { hasSupernode = true, pieces = 4 } = options
  const version = worldVersion(pieces * MIB)
  const held = new Bitmap(pieces)
  for (const piece of options.stored ?? []) held.add(piece)
  const stored = options.stored ? { version, held, knownDigests: held.members() } : null
  const start = { hasSupernode, stored, limits: DEFAULT_LIMITS, random: seededRandom(1) }
  const machine = new Download(start, 0)
  machine.seedSource = SEED
  const scene = {
    machine,
    version,
    nowMs: 0,
    log: machine.begin(0) as DownloadEffect[],
    send(...events: DownloadEvent[]): DownloadEffect[] {
      const effects = events.flatMap(event => machine.step(event, scene.nowMs))
      scene.log.push(...effects)
      return effects
    },
    /** Time passes; `meanwhile` happens every second. */
    pass(ms: number, meanwhile: DownloadEvent[] = []): DownloadEffect[] {
      const effects: DownloadEffect[] = []
      const endMs = scene.nowMs + ms
      while (scene.nowMs < endMs && !machine.isOver) {
        scene.nowMs += 200
        if (scene.nowMs % 1000 === 0) effects.push(...scene.send(...meanwhile))
        effects.push(...scene.send({ type: 'tick' }))
      }
      return effects
    },
    layout(pieces: readonly number[] = [0, 1, 2, 3], of: Version = version): DownloadEffect[] {
      return scene.send({ type: 'layout', version: of, digest: null, knownDigests: pieces })
    },
    assign(...pairs: [piece: number, source: string][]): DownloadEffect[] {
      return scene.send({ type: 'assigned', pieces: pairs.map(([piece, source]) => ({ piece, source })) })
    },
    fetched(piece: number, source: string): DownloadEffect[] {
      return scene.send({ type: 'fetched', piece, source, bytes: MIB, elapsedMs: 100 })
    },
    failed(piece: number, source: string, code: ErrorCode): DownloadEffect[] {
      return scene.send({ type: 'fetch-failed', piece, source, code })
    },
    failure(): { code: ErrorCode; isDiscarded: boolean } | undefined {
      return scene.log.find(effect => effect.type === 'fail')
    },
  }
  return scene
}

/** Joined, prepared, and nothing assigned. */
function join(scene: Scene): Scene {
  scene.layout()
  scene.send({ type: 'prepared' })
  return scene
}

const STATUS: DownloadEvent = { type: 'status', peers: 1, originBytes: 0 }
const ANSWERED = (version: Version): DownloadEvent => ({ type: 'origin-answered', kind: 'content', version })
const ORIGIN_FAILED = (code: ErrorCode): DownloadEvent => ({ type: 'origin-failed', code, message: 'no' })

const kinds = (effects: readonly DownloadEffect[]) => effects.map(effect => effect.type)

function opened(effects: readonly DownloadEffect[]): unknown[] {
  return effects.flatMap(effect =>
    effect.type === 'open-origin' ? [[effect.mode, effect.fromPiece, effect.untilPiece]] : [],
  )
}

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
