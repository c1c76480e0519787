import { type Caller, isAnonymous, shownBy } from '../core/caller.ts'
import type { Digest } from '../core/digest.ts'
import { type DragonflyError, toDragonflyError } from '../core/error.ts'
import { filterUrl } from '../core/filter-url.ts'
import { hasValidator } from '../core/generation.ts'
import type { Version } from '../core/version.ts'
import { DownloadRun } from '../peer/download-run.ts'
import type { Engine, TaskRequest } from '../peer/engine.ts'
import type { RunObserver } from '../peer/run-options.ts'
import type { TaskFile } from '../store/task-file.ts'
import type { RunResult } from '../wire/local.ts'
import type { ParentLink } from './parent-link.ts'

/** One fetch of a task from a parent or the origin, with the credentials of the caller who needed it; others wait for the same one. */
export class CdnFill {
  readonly caller: Caller
  /** The filtered URL. */
  readonly fetchedFrom: string
  /** Resolves when the version is settled; rejects if the fetch fails before. */
  readonly settled: Promise<void>
  readonly #clock: Engine['clock']
  readonly #isNamedByDigest: boolean
  readonly #parent: ParentLink | null
  #run!: DownloadRun
  #settledAt: number | null = null

  private constructor(
    request: TaskRequest,
    settled: Promise<void>,
    from: FillOptions & Pick<Engine, 'clock'>,
  ) {
    this.caller = { url: request.url, headers: request.headers }
    this.fetchedFrom = filterUrl(request.url).url
    this.settled = settled
    this.#isNamedByDigest = request.expectedDigest !== null
    this.#clock = from.clock
    this.#parent = from.parent
    settled.catch(() => {})
  }

  /** @throws DragonflyError DISK_ERROR, or what `mayUse` throws */
  static async start(engine: Engine, request: TaskRequest, options: FillOptions): Promise<CdnFill> {
    const { observer, mayUse, parent } = options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const fill = new CdnFill(request, promise, { ...options, clock: engine.clock })
    fill.#run = await DownloadRun.start(engine, request, {
      mayUse,
      openLink: parent ? handler => parent.open(handler) : undefined,
      observer: {
        ...observer,
        onVersion(version) {
          fill.#settledAt = engine.clock.now()
          observer.onVersion(fill, version)
          resolve()
        },
      },
    })
    fill.#run.done.then(observer.onComplete, thrown => {
      const error = toDragonflyError(thrown)
      reject(error)
      observer.onFailed(fill, error)
    })
    return fill
  }

  get run(): DownloadRun {
    return this.#run
  }

  /** Received from parents and their peers. */
  get parentBytes(): number {
    const { supernode, peers } = this.#run.snapshot().bytes
    return supernode + peers
  }

  /** That came, and that a parent has from the origin and may soon give: whoever waits for us does not wait in vain. */
  get movedBytes(): number {
    return this.#run.originBytes + this.parentBytes + (this.#parent?.originBytes ?? 0)
  }

  /** As far as it is known; only after `settled`. */
  get version(): Version {
    return this.#run.version!
  }

  /** Fetched with nothing but a URL, and known to be what its digest says: whoever names the digest may have it. */
  get isPublic(): boolean {
    return this.#isNamedByDigest && isAnonymous(this.caller) && this.#run.isComplete
  }

  /** Whether the origin's word is fresh enough for another caller: while the fetch goes on, and `freshMs` after it was given. */
  isCurrent(freshMs: number): boolean {
    if (!this.#run.isOver) return true
    return this.#run.isComplete && this.#settledAt !== null && this.#clock.now() - this.#settledAt <= freshMs
  }
}

type FillOptions = {
  readonly observer: CdnObserver
  readonly mayUse: (file: TaskFile) => Promise<boolean>
  /** Where to fill from while it is there; null is the origin alone. */
  readonly parent: ParentLink | null
}

/**
 * What tells this content from other content that is said to have the same digest, before anybody has seen that it has: the place, the
 * origin's name for the version, and where it has none, who asked. May hold credentials.
 */
export function provenanceOf({ validator }: Version, caller: Caller): string {
  const asker = hasValidator(validator) ? null : shownBy(caller)
  return JSON.stringify([filterUrl(caller.url).url, validator.etag, validator.lastModified, asker])
}

export type CdnObserver = Omit<RunObserver, 'onVersion'> & {
  onVersion(fill: CdnFill, version: Version): void
  onDigest(digest: Digest): void
  onComplete(result: RunResult): void
  onFailed(fill: CdnFill, error: DragonflyError): void
}
