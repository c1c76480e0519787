import { Bitmap } from '../../src/core/bitmap.ts'
import type { Digest } from '../../src/core/digest.ts'
import type { ErrorCode } from '../../src/core/error.ts'
import type { Generation } from '../../src/core/generation.ts'
import { seededRandom } from '../../src/core/random.ts'
import type { Version } from '../../src/core/version.ts'
import { Download } from '../../src/transfer/download.ts'
import { DEFAULT_LIMITS } from '../../src/transfer/download-options.ts'
import type { DownloadEffect, DownloadEvent } from '../../src/transfer/events.ts'
import type { Reader } from '../../src/transfer/reader.ts'
import { worldVersion } from './download-world.ts'

export const MIB = 1024 * 1024
export const SEED = 'seed:8001'
export const DIGEST = `sha256:${'1'.repeat(64)}` as Digest
export const OTHER = { ...worldVersion(4 * MIB), generation: 'bbbbbbbbbbbbbbbb' as Generation }

export const { silenceMs, stallMs } = DEFAULT_LIMITS

export type Scene = ReturnType<typeof newScene>

/** One download, its clock, and what it said. */
export function newScene(
  options: {
    hasSupernode?: boolean
    stored?: number[]
    pieces?: number
    mayReadOrigin?: boolean
    reader?: Reader | null
  } = {},
) {
  const { hasSupernode = true, pieces = 4, mayReadOrigin, reader } = options
  const version = worldVersion(pieces * MIB)
  const held = new Bitmap(pieces)
  for (const piece of options.stored ?? []) held.add(piece)
  const stored = options.stored ? { version, held, knownDigests: held.members() } : null
  const start = { hasSupernode, mayReadOrigin, reader, stored }
  const machine = new Download({ ...start, limits: DEFAULT_LIMITS, random: seededRandom(1) }, 0)
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
export function join(scene: Scene): Scene {
  scene.layout()
  scene.send({ type: 'prepared' })
  return scene
}

export const STATUS: DownloadEvent = { type: 'status', peers: 1, originBytes: 0 }
export const ANSWERED = (version: Version): DownloadEvent => ({
  type: 'origin-answered',
  kind: 'content',
  version,
})
export const ORIGIN_FAILED = (code: ErrorCode): DownloadEvent => ({
  type: 'origin-failed',
  code,
  message: 'no',
})

export const kinds = (effects: readonly DownloadEffect[]) => effects.map(effect => effect.type)

export function opened(effects: readonly DownloadEffect[]): unknown[] {
  return effects.flatMap(effect =>
    effect.type === 'open-origin' ? [[effect.mode, effect.fromPiece, effect.untilPiece]] : [],
  )
}
