import type { Digest } from '../core/digest.ts'
import { toDragonflyError } from '../core/error.ts'
import { filterUrl } from '../core/filter-url.ts'
import type { Version } from '../core/version.ts'
import { DownloadRun, type RunObserver } from '../peer/download-run.ts'
import type { Engine, TaskRequest } from '../peer/engine.ts'
import type { RunResult } from '../wire/local.ts'
import { type Caller, hasCredentials } from './access.ts'

/** One fetch of a task from its origin, with the credentials of the caller who needed it first; others wait for the same one. */
export class CdnFill {
  readonly caller: Caller
  /** The filtered URL, where credentials were used; null for what the public may have. */
  readonly privateUrl: string | null
  readonly run: DownloadRun
  /** The version, once it is settled; rejects if the fetch fails before. */
  readonly settled: Promise<Version>
  #settledAt: number | null = null

  private constructor(engine: Engine, caller: Caller, run: DownloadRun, settled: Promise<Version>) {
    this.caller = caller
    this.privateUrl = hasCredentials(caller) ? filterUrl(caller.url).url : null
    this.run = run
    this.settled = settled.then(version => {
      this.#settledAt = engine.clock.now()
      return version
    })
    this.settled.catch(() => {})
  }

  static async start(engine: Engine, request: TaskRequest, observer: CdnObserver): Promise<CdnFill> {
    const { promise, resolve, reject } = Promise.withResolvers<Version>()
    const run = await DownloadRun.start(engine, request, {
      observer: {
        ...observer,
        onVersion(version) {
          observer.onVersion(version)
          resolve(version)
        },
      },
    })
    run.done.then(observer.onComplete, thrown => {
      const error = toDragonflyError(thrown)
      reject(error)
      observer.onFailed(error)
    })
    return new CdnFill(engine, request, run, promise)
  }

  /** Whether the origin's word is fresh enough for another caller: while the fetch goes on, and `freshMs` after it was given. */
  isCurrent(now: number, freshMs: number): boolean {
    if (!this.run.isOver) return true
    return this.run.isComplete && this.#settledAt !== null && now - this.#settledAt <= freshMs
  }
}

export type CdnObserver = RunObserver & {
  onVersion(version: Version): void
  onDigest(digest: Digest): void
  onComplete(result: RunResult): void
  onFailed(error: ReturnType<typeof toDragonflyError>): void
}
