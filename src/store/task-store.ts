import { Bitmap } from '../core/bitmap.ts'
import type { Sha256 } from '../core/digest.ts'
import { DragonflyError } from '../core/error.ts'
import { PieceDigests } from '../core/piece-digests.ts'
import { pieceCount } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'
import { Turns } from '../core/turns.ts'
import { closeFile, makeDirectory, openNewFile, removeFile, statPath } from './disk.ts'
import { Journal } from './journal.ts'
import { type LoadOptions, loadTask, removeContent } from './load-task.ts'
import type { StorePlaces } from './places.ts'
import type { RecordHeader } from './record.ts'
import { moveAside, readRecord, startRecord } from './record-file.ts'
import type { DiskSpace } from './space.ts'
import type { TaskContent } from './task-content.ts'
import { TaskFile } from './task-file.ts'

type TaskStoreOptions = {
  readonly places: StorePlaces
  readonly sha256: Sha256
  /** What a task will take is promised here before its first byte is written; without it nothing is checked. */
  readonly space?: DiskSpace
  readonly log?: (event: string, facts: object) => void
}

/** What a glance at a task's files says. */
type TaskFacts = {
  readonly isComplete: boolean
  /** When they last changed, in milliseconds since the Unix epoch; the kernel's word, which nobody can set. */
  readonly changedAtMs: number
  /** What the disk has more if the content is removed: nothing where a target is the same file. */
  readonly ownBytes: number
}

/** A generation of a task to start. `url` goes to disk and to logs, so the caller redacts it. */
export type NewTask = RecordHeader

/**
 * Creates the directories. One process at a time may have a store open at the same places; who starts it sees to that.
 * @throws DragonflyError DISK_FULL, DISK_ERROR
 */
export async function openTaskStore(options: TaskStoreOptions): Promise<TaskStore> {
  for (const directory of options.places.directories) await makeDirectory(directory)
  return new TaskStore(options)
}

/** The tasks on this host's disk. Operations on one task take turns; different tasks are independent. */
export class TaskStore {
  readonly #options: LoadOptions
  readonly #space: DiskSpace | null
  readonly #closing = new AbortController()
  readonly #files = new Map<TaskId, TaskFile>()
  /** How to end the promise of space for each unfinished file. */
  readonly #promises = new Map<TaskFile, () => void>()
  /** The last operation in line per task. */
  readonly #turns = new Turns<TaskId>()

  constructor({ space, ...options }: TaskStoreOptions) {
    this.#space = space ?? null
    this.#options = { log: () => {}, ...options, signal: this.#closing.signal }
  }

  /**
   * The stored state of a task with only verified pieces in it, or null. Whoever opens a task while it is open gets the same TaskFile.
   * Unless the task is complete and untouched this reads every recorded piece.
   * @throws DragonflyError DISK_FULL, also where there is no space for what it lacks; DISK_ERROR; CANCELLED after `close()`
   */
  open(taskId: TaskId): Promise<TaskFile | null> {
    return this.#inTurn(taskId, async () => {
      const current = this.#files.get(taskId)
      if (current?.isOpen) return current
      if (current) await this.#settle(current)
      const content = await loadTask(taskId, this.#options)
      const file = content && this.#adopt(content)
      if (file) await this.#reserveFor(file)
      return file
    })
  }

  /**
   * Starts a generation of a task; whatever generation there was, this one included, is discarded. A record of an unknown version is
   * moved aside to `<record>.v<version>`, and content that lies where ours will be likewise.
   * @throws DragonflyError DISK_FULL, also where there is no space for it; DISK_ERROR; CANCELLED after `close()`
   */
  create(task: NewTask): Promise<TaskFile> {
    return this.#inTurn(task.taskId, async () => {
      await this.#removeStored(task)
      let file: TaskFile | null = null
      const endPromise = await this.#space?.reserve(() =>
        file ? file.lackedBytes : (task.layout.lengthBytes ?? 0),
      )
      try {
        file = this.#adopt(await this.#start(task))
      } catch (error) {
        endPromise?.()
        throw error
      }
      if (endPromise) this.#promises.set(file, endPromise)
      return file
    })
  }

  /**
   * Removes our names of a task's content and its record, whether it is open or not; leases on it go on. What is of an unknown version
   * stays.
   * @throws DragonflyError DISK_ERROR; CANCELLED after `close()`
   */
  discard(taskId: TaskId): Promise<void> {
    return this.#inTurn(taskId, async () => {
      await this.#discardOpen(taskId)
      const stored = await readRecord(this.#options.places.recordPath(taskId))
      if (stored.kind === 'record') await removeContent(this.#options.places, stored.record)
    })
  }

  /** Tasks that have a record, in no order. */
  recordedTaskIds(): Promise<TaskId[]> {
    return this.#options.places.recordedTaskIds()
  }

  /**
   * What is recorded of a task; null where nothing is that this version understands.
   * @throws DragonflyError DISK_ERROR
   */
  async describe(taskId: TaskId): Promise<TaskFacts | null> {
    const { places } = this.#options
    const stored = await readRecord(places.recordPath(taskId))
    if (stored.kind !== 'record' || stored.record.header.taskId !== taskId) return null
    const { header, completion } = stored.record
    const paths = [places.recordPath(taskId), places.partialPath(header), places.sharedPath(header)]
    const found = await Promise.all(paths.map(statPath))
    const changes = found.map(stats => Number(stats?.ctimeMs ?? 0))
    const alone = found.slice(1).find(stats => stats?.nlink === 1n)
    return {
      isComplete: completion !== null,
      changedAtMs: Math.max(...changes),
      ownBytes: Number(alone?.size ?? 0),
    }
  }

  /** Closes all task files and refuses further work. Descriptors with a lease close when that ends. */
  async close(): Promise<void> {
    this.#closing.abort(closedError())
    while (this.#turns.size > 0 || this.#files.size > 0) {
      await this.#turns.settled()
      await Promise.all([...this.#files.values()].map(file => file.close()))
    }
  }

  /** In the task's turn only. */
  async #discardOpen(taskId: TaskId): Promise<void> {
    const current = this.#files.get(taskId)
    if (!current) return
    if (current.isOpen) current.discard().catch(() => {})
    await this.#settle(current)
  }

  async #removeStored(task: NewTask): Promise<void> {
    const { places, log } = this.#options
    await this.#discardOpen(task.taskId)
    const recordPath = places.recordPath(task.taskId)
    const stored = await readRecord(recordPath)
    if (stored.kind === 'unknown version') {
      log('record of unknown version moved aside', {
        taskId: task.taskId,
        recordPath,
        version: stored.version,
      })
      for (const ours of new Set([places.partialPath(task), places.sharedPath(task), recordPath])) {
        await moveAside(ours, stored.version)
      }
    }
    if (stored.kind === 'record') await removeContent(places, stored.record)
  }

  async #start(task: NewTask): Promise<TaskContent> {
    const { places } = this.#options
    const contentPath = places.partialPath(task)
    const recordPath = places.recordPath(task.taskId)
    const sharedPath = places.sharedPath(task)
    if (sharedPath !== contentPath) await removeFile(sharedPath)
    const descriptor = await openNewFile(contentPath)
    try {
      const record = await startRecord(recordPath, task)
      return {
        header: task,
        layout: task.layout,
        held: new Bitmap(task.layout.lengthBytes === null ? 0 : pieceCount(task.layout)),
        digests: new PieceDigests(),
        tail: null,
        completion: null,
        path: contentPath,
        descriptor,
        journal: new Journal(recordPath, record.headerBytes, record.descriptor),
      }
    } catch (error) {
      await closeFile(descriptor)
      await removeFile(contentPath)
      throw error
    }
  }

  #adopt(content: TaskContent): TaskFile {
    const { places } = this.#options
    const { taskId } = content.header
    const file = new TaskFile(content, {
      sharedPath: places.sharedPath(content.header),
      recordPath: places.recordPath(taskId),
      end: ended => this.#turns.run(taskId, () => this.#settle(ended)),
    })
    this.#files.set(taskId, file)
    return file
  }

  /** Of what an earlier process or run has left. In the task's turn only. */
  async #reserveFor(file: TaskFile): Promise<void> {
    if (!this.#space || file.lackedBytes === 0) return
    try {
      this.#promises.set(file, await this.#space.reserve(() => file.lackedBytes))
    } catch (error) {
      file.close().catch(() => {})
      await this.#settle(file)
      throw error
    }
  }

  /** In the task's turn only. */
  async #settle(file: TaskFile): Promise<void> {
    try {
      await file.settle()
    } finally {
      this.#promises.get(file)?.()
      this.#promises.delete(file)
      if (this.#files.get(file.taskId) === file) this.#files.delete(file.taskId)
    }
  }

  #inTurn<T>(taskId: TaskId, action: () => Promise<T>): Promise<T> {
    if (this.#closing.signal.aborted) return Promise.reject(closedError())
    return this.#turns.run(taskId, action)
  }
}

function closedError(): DragonflyError {
  return new DragonflyError('CANCELLED', 'the store of tasks is closed')
}
