import type { Clock } from '../core/clock.ts'
import type { Digest } from '../core/digest.ts'
import type { Random } from '../core/random.ts'
import type { TaskId } from '../core/task-id.ts'
import { BufferPool } from '../net/buffer-pool.ts'
import type { Http1Timeouts } from '../net/http1-connection.ts'
import { PieceClient } from '../net/piece-client.ts'
import type { ProxySettings } from '../net/proxy.ts'
import { type Limiter, RateLimiter } from '../net/rate-limiter.ts'
import type { Log } from '../ops/log.ts'
import { createOrigins, type Origin } from '../origin/origin.ts'
import type { TaskStore } from '../store/task-store.ts'
import { DEFAULT_LIMITS, type DownloadLimits } from '../transfer/download-options.ts'
import type { Reader } from '../transfer/reader.ts'

/** What every download needs from the outside; the resident peer and the CDN differ only in what they put in here. */
export type Engine = {
  readonly store: TaskStore
  readonly pieces: PieceClient
  readonly buffers: BufferPool
  /** What is received from anywhere counts here. */
  readonly limiter: Limiter
  readonly origin: Origin
  readonly clock: Clock
  readonly random: Random
  readonly limits: DownloadLimits
  readonly log: Log
}

type EngineOptions = {
  readonly store: TaskStore
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly originTimeouts: Http1Timeouts
  /** For origins, in requests that name none of their own. */
  readonly userAgent: string
  /** For requests that name none of their own. */
  readonly proxies?: ProxySettings | null
  /** Memory for pieces in flight. */
  readonly bufferBytes: number
  /** Without it there is no limit. */
  readonly limiter?: Limiter
  readonly limits?: DownloadLimits
}

/** Other hosts are near and many: one that is silent for so long is replaced. */
const SOURCE_TIMEOUTS: Http1Timeouts = { connectMs: 2_000, headMs: 8_000, idleMs: 6_000 }

export function openEngine(options: EngineOptions): Engine {
  const { store, clock, random, log, originTimeouts, userAgent, proxies } = options
  return {
    store,
    clock,
    random,
    log,
    limits: options.limits ?? DEFAULT_LIMITS,
    origin: createOrigins({ clock, timeouts: originTimeouts, userAgent, proxies }),
    buffers: new BufferPool(options.bufferBytes),
    limiter: options.limiter ?? new RateLimiter(null, clock),
    pieces: new PieceClient({
      clock,
      timeouts: SOURCE_TIMEOUTS,
      connectionsPerSource: 2,
      pipelineDepth: 4,
      idleCloseMs: 10_000,
      maxConnections: 64,
    }),
  }
}

/** What is wanted. */
export type TaskRequest = {
  readonly taskId: TaskId
  readonly url: string
  /** The caller's own; they go to the origin and nowhere else. */
  readonly headers: readonly (readonly [string, string])[]
  /** Of the target file; for names on disk only. */
  readonly name: string
  readonly tag: string
  readonly expectedDigest: Digest | null
  readonly range: string | null
  /** Through whom this host asks the origin; without them as the engine is told. */
  readonly proxies?: ProxySettings | null
  /** Who reads it while it comes; null or absent is nobody. */
  readonly reader?: Reader | null
  /** False where nobody waits until it is on the disk. */
  readonly waitsForDisk?: boolean
  /** Nothing is fetched from other peers, and nothing offered to them. */
  readonly isSeedOnly?: boolean
  /** False where nothing must be read from the origin by this host. */
  readonly mayReadOrigin?: boolean
}
