import type { Clock } from '../core/clock.ts'
import { toDragonflyError } from '../core/error.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Log } from '../ops/log.ts'
import type { StorePlaces } from '../store/places.ts'
import { sweepOrphans } from '../store/sweep-orphans.ts'
import type { TaskStore } from '../store/task-store.ts'

/** For how long files are kept that nobody uses, in milliseconds. */
export type FileTimes = {
  /** A complete copy, since a download or an upload last used it. */
  readonly expireMs: number
  /** What a download has left that nobody continues, since it was last written. */
  readonly residueMs: number
}

export const DEFAULT_FILE_TIMES: FileTimes = { expireMs: 3 * 60_000, residueMs: 60 * 60_000 }

/** What the life of files needs to know of the tasks that have a run, and may ask for. */
export type LivingTasks = {
  taskIds(): readonly TaskId[]
  has(taskId: TaskId): boolean
  /** Whether a command waits for it, it is not over, or it is being read. */
  isBusy(taskId: TaskId): boolean
  /** Whether somebody has written to its shared copy, or that is closed. */
  isChanged(taskId: TaskId): boolean
  /** Leaves the swarm and closes the file. */
  stopSharing(taskId: TaskId): Promise<void>
  /** Leaves the swarm and removes the files, unless it is busy, or not due any more when its turn comes. Says whether it did. */
  remove(taskId: TaskId, isDue: () => boolean): Promise<boolean>
}

type FileLifeOptions = {
  readonly tasks: LivingTasks
  readonly store: TaskStore
  readonly places: StorePlaces
  readonly times: FileTimes
  readonly clock: Clock
  readonly log: Log
}

/** Looks at the files of one account from time to time, and removes those that have had their time. */
export class FileLife {
  readonly #options: FileLifeOptions
  /** When each task was last used, or first seen. */
  readonly #usedAt = new Map<TaskId, number>()
  #orphansDueAt: number
  #looking: Promise<void> = Promise.resolve()
  #cancel = () => {}
  #isStopped = false

  constructor(options: FileLifeOptions) {
    this.#options = options
    this.#orphansDueAt = options.clock.now() + options.times.residueMs
  }

  /** Resolves after the first look; the others follow by themselves. */
  start(): Promise<void> {
    this.#looking = this.#lookAndGoOn()
    return this.#looking
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel()
    await this.#looking
  }

  /** The task is being used. */
  touch(taskId: TaskId): void {
    this.#usedAt.set(taskId, this.#options.clock.now())
  }

  async #lookAndGoOn(): Promise<void> {
    const { clock, times, log } = this.#options
    try {
      await this.#look()
    } catch (thrown) {
      const { code, message } = toDragonflyError(thrown)
      if (!this.#isStopped) log.warn({ code, cause: message }, 'files not looked after')
    }
    if (this.#isStopped) return
    const fittingMs = Math.min(times.expireMs, times.residueMs) / 6
    const everyMs = Math.min(Math.max(fittingMs, LOOK_MIN_MS), LOOK_MAX_MS)
    this.#cancel = clock.schedule(everyMs, () => void this.start())
  }

  /**
   * Removes complete copies, those first that nobody has used for longest, until so many bytes are freed; none where all together would
   * not do. Says whether any was removed.
   */
  async makeRoom(missingBytes: number): Promise<boolean> {
    const { clock } = this.#options
    const removable = await this.#removableCopies()
    if (removable.reduce((sum, { ownBytes }) => sum + ownBytes, 0) < missingBytes) return false
    const usedAt = (taskId: TaskId) => this.#usedAt.get(taskId) ?? clock.now()
    let freedBytes = 0
    for (const { taskId, ownBytes } of removable.sort((a, b) => usedAt(a.taskId) - usedAt(b.taskId))) {
      if (freedBytes >= missingBytes) break
      if (await this.#remove(taskId)) freedBytes += ownBytes
    }
    return freedBytes > 0
  }

  async #removableCopies(): Promise<{ taskId: TaskId; ownBytes: number }[]> {
    const { tasks, store } = this.#options
    const removable: { taskId: TaskId; ownBytes: number }[] = []
    for (const taskId of await this.#knownTaskIds()) {
      if (tasks.isBusy(taskId)) continue
      const facts = await store.describe(taskId)
      if (facts?.isComplete && facts.ownBytes > 0) removable.push({ taskId, ownBytes: facts.ownBytes })
    }
    return removable
  }

  async #look(): Promise<void> {
    const { tasks } = this.#options
    for (const taskId of tasks.taskIds()) if (tasks.isChanged(taskId)) await tasks.stopSharing(taskId)
    const known = await this.#knownTaskIds()
    for (const taskId of known) {
      if (this.#isStopped) return
      if (await this.#isOutOfTime(taskId)) await this.#remove(taskId)
    }
    for (const taskId of this.#usedAt.keys()) if (!known.has(taskId)) this.#usedAt.delete(taskId)
    await this.#sweepOrphans()
  }

  async #knownTaskIds(): Promise<Set<TaskId>> {
    const { tasks, store } = this.#options
    const stored = await store.recordedTaskIds()
    return new Set([...tasks.taskIds(), ...stored])
  }

  /** What an earlier process has left is looked at at once: an unfinished download may have been left long ago. */
  async #isOutOfTime(taskId: TaskId): Promise<boolean> {
    const { tasks, store, clock, times } = this.#options
    const isNew = !this.#usedAt.has(taskId)
    if (isNew || tasks.isBusy(taskId)) this.touch(taskId)
    const isExpired = clock.now() - this.#usedAt.get(taskId)! >= times.expireMs
    if (!isNew && !isExpired) return false
    if (tasks.has(taskId)) return isExpired
    const stored = await store.describe(taskId)
    if (stored === null) return false
    return stored.isComplete ? isExpired : clock.wallNow() - stored.changedAtMs >= times.residueMs
  }

  /** Unless it is used meanwhile. */
  async #remove(taskId: TaskId): Promise<boolean> {
    const { tasks, log } = this.#options
    const usedAt = this.#usedAt.get(taskId)
    if (!(await tasks.remove(taskId, () => this.#usedAt.get(taskId) === usedAt))) return false
    this.#usedAt.delete(taskId)
    log.info({ taskId }, 'unused files removed')
    return true
  }

  /** They take reading every record to find, and are rare. */
  async #sweepOrphans(): Promise<void> {
    const { places, clock, times, log } = this.#options
    if (clock.now() < this.#orphansDueAt || this.#isStopped) return
    this.#orphansDueAt = clock.now() + times.residueMs / 6
    const removed = await sweepOrphans(places, clock.wallNow() - times.residueMs)
    if (removed > 0) log.info({ removed }, 'residues removed')
  }
}

const LOOK_MIN_MS = 50
const LOOK_MAX_MS = 30_000
