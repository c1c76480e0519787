import { namesSameContent } from '../core/blob-url.ts'
import { type Caller, isSameCaller } from '../core/caller.ts'
import { DragonflyError } from '../core/error.ts'
import { filterUrl, redactUrl } from '../core/filter-url.ts'
import { hasValidator } from '../core/generation.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Engine, TaskRequest } from '../peer/engine.ts'
import type { TaskFile } from '../store/task-file.ts'
import type { PeerMessages } from '../wire/control.ts'
import { type Access, type FetchedContent, notProven } from './access.ts'
import { CdnFill, type CdnObserver } from './cdn-fill.ts'
import { firstLackedByte } from './holding-claim.ts'
import type { Parents } from './parents.ts'
import { WaitingSupernodes } from './waiting-supernodes.ts'

type CdnCopyOptions = {
  readonly taskId: TaskId
  readonly engine: Engine
  readonly access: Access
  /** How long after the origin was asked its answer also serves others. */
  readonly freshMs: number
  readonly observer: CdnObserver
  readonly parents: Parents
  readonly supernodeId: string
  /** Whether somebody is in the middle of receiving the present version. */
  isWanted(): boolean
}

const FAILURE_REMEMBERED_MS = 1_000

/**
 * The supernode's copy of one task, and whom it may be given to: the caller with whose request it was fetched, and those of whom the
 * origin says that they would get the same. One fetch goes on at a time. Until it has settled a version the present copy is served, and
 * if it fails before, the present copy stays: nobody can take it from others by asking badly.
 */
export class CdnCopy {
  readonly #options: CdnCopyOptions
  /** The fetch that settled the present version. */
  #fill: CdnFill | null = null
  #asking: { caller: Caller; fill: Promise<CdnFill> } | null = null
  #latest: CdnFill | null = null
  /** Of the latest. */
  #waiting: WaitingSupernodes
  #failure: { error: DragonflyError; caller: Caller; until: number } | null = null
  #pastOriginBytes = 0
  #pastParentBytes = 0
  #pastMovedBytes = 0
  #isClosed = false

  constructor(options: CdnCopyOptions) {
    this.#options = options
    this.#waiting = new WaitingSupernodes(options.supernodeId)
  }

  get fill(): CdnFill | null {
    return this.#fill
  }

  /** Whether there is a copy, or a fetch that may make one. */
  get isBegun(): boolean {
    return this.#fill !== null || this.#asking !== null
  }

  get isAtRest(): boolean {
    return this.#asking === null && (this.#fill === null || this.#fill.run.isOver)
  }

  /** Read from the origin since the task came into memory. */
  get originBytes(): number {
    return this.#pastOriginBytes + (this.#latest?.run.originBytes ?? 0)
  }

  /** The same from parents and their peers. */
  get parentBytes(): number {
    return this.#pastParentBytes + (this.#latest?.parentBytes ?? 0)
  }

  /** Of all fetches, and of the last one also what it may soon have from a parent. Grows as long as waiting is not in vain. */
  get movedBytes(): number {
    return this.#pastMovedBytes + (this.#latest?.movedBytes ?? 0)
  }

  /**
   * The fetch whose content this caller may have.
   * @throws DragonflyError the origin's refusal, the fetch's failure, or SUPERNODE_FAILED where nothing shows that the caller may have
   *   what is here
   */
  async fillFor(message: PeerMessages['announce']): Promise<CdnFill> {
    for (;;) {
      if (this.#isClosed) throw closed()
      if (!this.isAtRest) this.#waiting.add(message.via ?? [])
      if (this.#asking) {
        const fill = await this.#await(this.#asking, message)
        if (fill) return this.#admitted(fill, message)
        continue
      }
      const fill = this.#fill
      if (fill && this.#isCurrent(fill)) return this.#admitted(fill, message)
      if (
        fill?.run.isComplete &&
        hasValidator(fill.version.validator) &&
        !isSameCaller(message, fill.caller)
      ) {
        if (await this.#isShown(message, contentOf(fill))) return fill
        if (this.#fill !== fill || this.#asking) continue
        if (this.#options.isWanted()) throw notProven()
      }
      const failure = this.#failure
      if (failure && this.#now() < failure.until && isSameCaller(message, failure.caller)) throw failure.error
      return this.#ask(message)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#latest?.run.close()
    await this.#asking?.fill.catch(() => {})
    await this.#latest?.run.file?.close()
    await this.#fill?.run.file?.close()
  }

  #now(): number {
    return this.#options.engine.clock.now()
  }

  /** Content without a validator cannot be asked about, so it stays while somebody receives it. */
  #isCurrent(fill: CdnFill): boolean {
    if (fill.isPublic || fill.isCurrent(this.#options.freshMs)) return true
    return fill.run.isComplete && !hasValidator(fill.version.validator) && this.#options.isWanted()
  }

  async #admitted(fill: CdnFill, message: PeerMessages['announce']): Promise<CdnFill> {
    if (!fill.isPublic && !isSameCaller(message, fill.caller)) {
      await this.#options.access.check(message, contentOf(fill))
    }
    return fill
  }

  /** Null where another caller's question failed: that says nothing about this one. */
  async #await(
    asking: { caller: Caller; fill: Promise<CdnFill> },
    message: PeerMessages['announce'],
  ): Promise<CdnFill | null> {
    if (!namesSameContent(asking.caller.url, message.url)) throw notProven()
    try {
      return await asking.fill
    } catch (thrown) {
      if (isSameCaller(message, asking.caller)) throw thrown
      return null
    }
  }

  #ask(message: PeerMessages['announce']): Promise<CdnFill> {
    const fill = this.#begin(message).finally(() => {
      this.#asking = null
    })
    this.#asking = { caller: message, fill }
    return fill
  }

  async #begin(message: PeerMessages['announce']): Promise<CdnFill> {
    const { engine, observer, taskId, parents, supernodeId } = this.#options
    const { url, headers, tag, expectedDigest, range } = message
    const reader = readerOf(message, parents.present.length > 0)
    const request = { taskId, url, headers, name: taskId, tag, expectedDigest, range, reader }
    this.#waiting = new WaitingSupernodes(supernodeId)
    this.#waiting.add(message.via ?? [])
    await this.#latest?.run.done.catch(() => {})
    // Its place in a parent's swarm is now the next one's.
    await this.#latest?.run.close()
    const fill = await CdnFill.start(engine, request, {
      mayUse: file => this.#mayUse(file, message),
      parent: parents.linkFor(request, this.#waiting),
      observer: {
        ...observer,
        onVersion: (settled, version) => {
          this.#fill = settled
          this.#failure = null
          observer.onVersion(settled, version)
        },
        onFailed: (failed, error) => this.#onFailed(failed, error),
      },
    })
    this.#pastOriginBytes = this.originBytes
    this.#pastParentBytes = this.parentBytes
    this.#pastMovedBytes = this.movedBytes
    this.#latest = fill
    if (this.#isClosed) await fill.run.close()
    await fill.settled
    return fill
  }

  #onFailed(fill: CdnFill, error: DragonflyError): void {
    const { taskId, engine, observer } = this.#options
    engine.log.warn({ taskId, code: error.code, cause: error.message }, 'task failed at cdn')
    this.#failure = { error, caller: fill.caller, until: this.#now() + FAILURE_REMEMBERED_MS }
    const isStillServed = this.#fill !== fill && this.#fill?.run.file?.isOpen
    if (isStillServed) return
    this.#fill = null
    observer.onFailed(fill, error)
  }

  /**
   * What is on disk is taken up only if the origin says that it is still the same. Content named by a digest has one generation wherever
   * it comes from, so there the origin's word must come first, and be about the place that the copy came from.
   */
  async #mayUse(file: TaskFile, message: PeerMessages['announce']): Promise<boolean> {
    if (message.expectedDigest === null) return hasValidator(file.validator)
    if (!namesSameContent(redactUrl(message.url), file.url)) return false
    const { generation, validator, layout } = file
    const fetchedFrom = filterUrl(message.url).url
    return this.#isShown(message, { fetchedFrom, version: { generation, validator, layout } })
  }

  /** Whether the origin shows this very content to the caller at this moment. @throws DragonflyError the origin's refusal */
  async #isShown(caller: Caller, content: FetchedContent): Promise<boolean> {
    try {
      await this.#options.access.ask(caller, content)
      return true
    } catch (thrown) {
      if (thrown instanceof DragonflyError && thrown.code === 'SUPERNODE_FAILED') return false
      throw thrown
    }
  }
}

function contentOf(fill: CdnFill): FetchedContent {
  return { fetchedFrom: fill.fetchedFrom, version: fill.version }
}

/**
 * With what the fill begins where it can. Who asks first may come from another supernode that is gone, and the others of that swarm, who
 * hold about the same, after it: what they lack comes before what they have. From parents, a reader's pieces come first. Else null: the
 * origin is read once, from its first byte.
 */
function readerOf(announce: PeerMessages['announce'], hasParents: boolean): TaskRequest['reader'] {
  const { lookAhead, readFrom } = announce
  if (lookAhead !== null && hasParents) return { lookAhead, fromByte: readFrom ?? 0 }
  const fromByte = firstLackedByte(announce)
  return fromByte === null ? null : { lookAhead: lookAhead ?? 1, fromByte }
}

function closed(): DragonflyError {
  return new DragonflyError('CANCELLED', 'the supernode lets go of the task')
}
