import { createHash } from 'node:crypto'
import { isSameCaller } from '../core/caller.ts'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import type { Random } from '../core/random.ts'
import type { TaskId } from '../core/task-id.ts'
import { Turns } from '../core/turns.ts'
import type { Http1Timeouts } from '../net/http1-connection.ts'
import { type PieceServer, startPieceServer } from '../net/piece-server.ts'
import type { TaskLimiter } from '../net/task-limiter.ts'
import type { Log } from '../ops/log.ts'
import { userAgentOf, VERSION } from '../ops/version.ts'
import { peerPlaces } from '../store/places.ts'
import { DiskSpace } from '../store/space.ts'
import { sweepOrphans } from '../store/sweep-orphans.ts'
import { openTaskStore, type TaskStore } from '../store/task-store.ts'
import type { DownloadLimits } from '../transfer/download-options.ts'
import type { DownloadRequest, PeerStatus, RunResult } from '../wire/local.ts'
import { DownloadRun } from './download-run.ts'
import { type Engine, openEngine, type TaskRequest } from './engine.ts'
import { DEFAULT_FILE_TIMES, FileLife, type FileTimes, type LivingTasks } from './file-life.ts'
import { PeerLimits, type TaskLimit } from './peer-limits.ts'
import { RunLog, runLogFile } from './run-log.ts'
import { recordOf } from './run-record.ts'
import { openSupernodes, type Supernodes } from './supernodes.ts'
import { taskRequestOf } from './task-request.ts'

export type PeerOptions = {
  readonly homeRoot: string
  /** Address to listen on and to be reached at; null listens on all and lets the supernode see which one it is. */
  readonly ip: string | null
  /** Upload port; 0 lets the system choose. */
  readonly port: number
  /** Bytes per second, each for sending and for receiving; null is no limit. */
  readonly totalLimit: number | null
  readonly limits?: DownloadLimits
  readonly fileTimes?: FileTimes
  readonly originTimeouts: Http1Timeouts
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

const UPLOADS_MAX = 64
const BUFFER_BYTES = 48 * 1024 * 1024

type Entry = {
  run: DownloadRun
  readonly limit: TaskLimit
  /** How the one who began it wants it fetched; see `waysOf`. */
  readonly ways: string
  /** Commands that wait for it. */
  waiting: number
  /** What is shared until the run's own version is settled: an earlier, complete run of the same task. */
  before: DownloadRun | null
}

/** What a command has got. */
export type Joined = {
  /** The present one. */
  readonly run: DownloadRun
  readonly limiter: TaskLimiter
  /** As that of the run, or of the one that follows it where it fails in ways that the command has not asked for. */
  readonly done: Promise<RunResult>
  release(): void
}

/** A run and one of those who wait for it. */
type Part = { readonly run: DownloadRun; readonly limit: TaskLimit; readonly ways: string; leave(): void }

/** An account's peer: downloads for the account's commands, serves what it holds to the swarm. */
export class Peer {
  readonly #options: PeerOptions
  readonly #engine: Engine
  readonly #store: TaskStore
  readonly limits: PeerLimits
  readonly #runLog: RunLog
  /** The last step in line per task. */
  readonly #turns = new Turns<TaskId>()
  readonly #entries = new Map<TaskId, Entry>()
  readonly #files: FileLife
  #pieceServer!: PieceServer
  #supernodes!: Supernodes
  #sentBytes = 0
  /** Who has asked for a download and not released it. */
  #commands = 0
  /** Who wants it to stay though it has nothing to do. */
  #attendants = 0
  #isStopping = false
  #isFinishing = false
  readonly #finished = Promise.withResolvers<void>()

  private constructor(options: PeerOptions, store: TaskStore) {
    this.#options = options
    this.#store = store
    this.#runLog = new RunLog(runLogFile(options.homeRoot), options.log)
    this.limits = new PeerLimits(options.totalLimit, options.clock)
    this.#engine = openEngine({
      ...options,
      store,
      bufferBytes: BUFFER_BYTES,
      userAgent: userAgentOf('dfget'),
    })
    this.#files = new FileLife({
      ...options,
      store,
      places: peerPlaces(options.homeRoot),
      times: options.fileTimes ?? DEFAULT_FILE_TIMES,
      tasks: this.#livingTasks(),
    })
  }

  /** @throws DragonflyError ADDRESS_IN_USE, DISK_ERROR */
  static async start(options: PeerOptions): Promise<Peer> {
    const places = peerPlaces(options.homeRoot)
    await sweepOrphans(places)
    const space = new DiskSpace({
      directory: places.contentRoot,
      makeRoom: missingBytes => peer.#files.makeRoom(missingBytes),
    })
    const store = await openTaskStore({
      places,
      sha256,
      space,
      log: (event, facts) => options.log.warn(facts, event),
    })
    const peer = new Peer(options, store)
    await peer.#listen()
    await peer.#files.start()
    return peer
  }

  get uploadPort(): number {
    return this.#pieceServer.port
  }

  /** Bytes sent to others since the start. */
  get sentBytes(): number {
    return this.#sentBytes
  }

  status(): PeerStatus {
    const tasks = [...this.#entries.values()].map(({ run }) => run.snapshot())
    return {
      version: VERSION,
      pid: process.pid,
      uploadPort: this.uploadPort,
      sentBytes: this.#sentBytes,
      commands: this.#commands,
      attendants: this.#attendants,
      isFinishing: this.#isFinishing,
      limits: this.limits.status(),
      tasks,
    }
  }

  /**
   * Joins or starts the task's download. Whoever calls must release the run; when nobody waits for an unfinished one it stops, and what
   * it has verified is kept; where that is the whole, it comes to its end. Only who shows the same to the origin joins: others wait for their
   * turn, and are then let in or refused for what they show themselves. Whoever joins takes part in a run as the first has asked for it,
   * whichever nodes, managers, pattern and proxies those are; where it fails, it is begun anew for the next in the ways that they want.
   * @param onChange for who reads meanwhile: something has happened that may have brought more to read
   * @throws DragonflyError USAGE; PEER_FINISHING; CANCELLED while the peer stops
   */
  async download(request: DownloadRequest, onChange = () => {}): Promise<Joined> {
    if (this.#isFinishing) throw new DragonflyError('PEER_FINISHING', 'the resident peer is about to end')
    this.#commands++
    try {
      return await this.#join(request, onChange)
    } catch (thrown) {
      this.#leave()
      throw thrown
    }
  }

  async #join(request: DownloadRequest, onChange: () => void): Promise<Joined> {
    let part = await this.#takePart(request, onChange)
    let isReleased = false
    const onFailed = async (thrown: unknown): Promise<RunResult> => {
      if (isReleased || this.#isStopping || part.ways === waysOf(request)) throw thrown
      part.leave()
      part = await this.#takePart(request, onChange)
      if (isReleased) part.leave()
      return part.run.done.catch(onFailed)
    }
    const done = part.run.done.catch(onFailed)
    done.catch(() => {})
    return {
      get run() {
        return part.run
      },
      get limiter() {
        return part.limit.limiter
      },
      done,
      release: () => {
        if (isReleased) return
        isReleased = true
        part.leave()
        this.#leave()
      },
    }
  }

  async #takePart(request: DownloadRequest, onChange: () => void): Promise<Part> {
    const task = taskRequestOf(request, sha256)
    const entry = await this.#enter(task, request)
    const { run, limit, ways } = entry
    const leaveLimit = this.limits.join(limit, request.localLimit ?? null)
    const leaveReaders = task.reader ? run.readers.join(task.reader, onChange) : () => {}
    let isLeft = false
    const leave = () => {
      if (isLeft) return
      isLeft = true
      entry.waiting--
      leaveLimit()
      leaveReaders()
      this.#files.touch(task.taskId)
      if (entry.waiting === 0 && !run.isOver && !run.isWhole) void this.#drop(entry)
    }
    return { run, limit, ways, leave }
  }

  #leave(): void {
    this.#commands--
    if (this.#isFinishing && this.#commands === 0) this.#finished.resolve()
  }

  /** The peer does not end for want of work until the returned function is called, once. */
  attend(): () => void {
    this.#attendants++
    return () => void this.#attendants--
  }

  /** Takes no new downloads from now on. Resolves when nobody waits for one any more. */
  finish(): Promise<void> {
    this.#isFinishing = true
    if (this.#commands === 0) this.#finished.resolve()
    return this.#finished.promise
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#files.stop()
    await this.#turns.settled()
    for (const { run, before } of this.#entries.values()) {
      await run.close()
      await before?.close()
    }
    await this.#supernodes.close()
    await this.#pieceServer.close()
    this.#engine.pieces.close()
    await this.#store.close()
    this.#runLog.close()
  }

  async #listen(): Promise<void> {
    const { clock, ip, port } = this.#options
    this.#pieceServer = await startPieceServer({
      host: ip ?? undefined,
      port,
      clock,
      limiter: this.limits.upload,
      maxUploads: UPLOADS_MAX,
      idleMs: 15_000,
      catalog: { find: taskId => this.#shared(taskId) },
      onSent: (taskId, bytes) => {
        this.#sentBytes += bytes
        this.#files.touch(taskId)
      },
    })
    this.#supernodes = await openSupernodes(this.#options, this.uploadPort)
  }

  #shared(taskId: TaskId): { content: NonNullable<DownloadRun['file']>; token: string } | null {
    const entry = this.#entries.get(taskId)
    const run = entry?.run.isShared ? entry.run : entry?.before
    if (!run?.isShared || !run.file) return null
    if (run.file.isIntact) return { content: run.file, token: run.token }
    void this.#stopSharing(taskId)
    return null
  }

  #livingTasks(): LivingTasks {
    return {
      taskIds: () => [...this.#entries.keys()],
      has: taskId => this.#entries.has(taskId),
      isBusy: taskId => isBusy(this.#entries.get(taskId)),
      isChanged: taskId => this.#entries.get(taskId)?.run.file?.isIntact === false,
      stopSharing: taskId => this.#stopSharing(taskId),
      remove: (taskId, isDue) => this.#turns.run(taskId, () => this.#remove(taskId, isDue)),
    }
  }

  /** Somebody wrote to the shared copy, through another name of it. A run that is not over finds out by itself. */
  async #stopSharing(taskId: TaskId): Promise<void> {
    const entry = this.#entries.get(taskId)
    if (!entry?.run.isOver) return
    this.#engine.log.warn({ taskId }, 'changed copy not shared any more')
    await this.#drop(entry)
  }

  /** In the task's turn only. Who comes from now on does not find the task; who is reading it goes on. */
  async #remove(taskId: TaskId, isDue: () => boolean): Promise<boolean> {
    const entry = this.#entries.get(taskId)
    if (this.#isStopping || isBusy(entry) || !isDue()) return false
    this.#entries.delete(taskId)
    await entry?.run.close()
    await entry?.before?.close()
    await this.#store.discard(taskId)
    return true
  }

  /** The entry counts one more that waits. */
  async #enter(task: TaskRequest, request: DownloadRequest): Promise<Entry> {
    for (;;) {
      const entry = await this.#turns.run(task.taskId, async () => {
        const found = await this.#presentOrNew(task, request)
        if (isSameCaller(found.run.request, task)) found.waiting++
        return found
      })
      if (isSameCaller(entry.run.request, task)) return entry
      await entry.run.done.catch(() => {})
    }
  }

  async #presentOrNew(task: TaskRequest, request: DownloadRequest): Promise<Entry> {
    if (this.#isStopping) throw new DragonflyError('CANCELLED', 'the peer stops')
    const present = this.#entries.get(task.taskId)
    if (present && !present.run.isOver) return present
    await present?.run.done.catch(() => {})
    const openLink = this.#supernodes.linkFor(request, task)
    const limit = this.limits.openTask()
    const engine: Engine = { ...this.#engine, limiter: limit.limiter }
    const run = await DownloadRun.start(engine, task, { openLink }).catch(thrown => {
      this.limits.closeTask(limit)
      throw thrown
    })
    const before = this.#entries.get(task.taskId)?.run ?? null
    const entry: Entry = { run, limit, ways: waysOf(request), waiting: 0, before }
    void run.done.catch(() => {}).then(() => this.limits.closeTask(limit))
    this.#entries.set(task.taskId, entry)
    void run.done.then(
      result => {
        this.#runLog.append(() => recordOf(run, result))
        this.#engine.log.info({ ...result, url: undefined, path: undefined }, 'task complete')
        void entry.before?.close()
        entry.before = null
      },
      error => {
        this.#runLog.append(() => recordOf(run, error))
        const facts = { taskId: task.taskId, code: error.code, cause: error.message }
        this.#engine.log.warn(facts, 'task failed')
        void this.#drop(entry)
      },
    )
    return entry
  }

  /** Gives up a run that did not succeed. What an earlier one has fetched is served as before. */
  async #drop(entry: Entry): Promise<void> {
    const { run, before } = entry
    const { taskId } = run.request
    if (this.#entries.get(taskId) === entry) {
      const isServed = before?.isShared && before.file?.isOpen
      if (isServed) this.#entries.set(taskId, { ...entry, run: before, waiting: 0, before: null })
      else this.#entries.delete(taskId)
    }
    await run.close()
    await this.#turns.run(taskId, async () => {
      if (this.#entries.has(taskId)) return
      await before?.close()
      await run.file?.close()
    })
    this.#engine.buffers.trim()
  }
}

/** By what a run may fail for one and not for another who wants the same content. */
function waysOf({ nodes, managers, pattern, mayReadOrigin, proxies }: DownloadRequest): string {
  return JSON.stringify([nodes, managers ?? null, pattern ?? 'p2p', mayReadOrigin ?? true, proxies ?? null])
}

function isBusy(entry: Entry | undefined): boolean {
  if (!entry) return false
  const { run, before, waiting } = entry
  return waiting > 0 || !run.isOver || run.file?.isInUse === true || before?.file?.isInUse === true
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}
