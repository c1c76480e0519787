import { createHash } from 'node:crypto'
import os from 'node:os'
import { isSameCaller, rangeOf } from '../core/caller.ts'
import type { Clock } from '../core/clock.ts'
import { parseDigest } from '../core/digest.ts'
import { DragonflyError } from '../core/error.ts'
import { parseHostPort } from '../core/host-port.ts'
import type { Random } from '../core/random.ts'
import { type TaskId, taskIdOf } from '../core/task-id.ts'
import { Turns } from '../core/turns.ts'
import type { Http1Timeouts } from '../net/http1-connection.ts'
import { type PieceServer, startPieceServer } from '../net/piece-server.ts'
import { RateLimiter } from '../net/rate-limiter.ts'
import type { Log } from '../ops/log.ts'
import { randomName } from '../ops/system-random.ts'
import { VERSION } from '../ops/version.ts'
import { peerPlaces } from '../store/places.ts'
import { sweepOrphans } from '../store/sweep-orphans.ts'
import { openTaskStore, type TaskStore } from '../store/task-store.ts'
import type { DownloadLimits } from '../transfer/download-options.ts'
import type { DownloadRequest, PeerStatus } from '../wire/local.ts'
import { DownloadRun } from './download-run.ts'
import { type Engine, openEngine, type TaskRequest } from './engine.ts'
import { SupernodePool } from './supernode-pool.ts'

export type PeerOptions = {
  readonly homeRoot: string
  /** Address to listen on and to be reached at; null listens on all and lets the supernode see which one it is. */
  readonly ip: string | null
  /** Upload port; 0 lets the system choose. */
  readonly port: number
  /** Bytes per second, each for sending and for receiving; null is no limit. */
  readonly totalLimit: number | null
  readonly limits?: DownloadLimits
  readonly originTimeouts: Http1Timeouts
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** Pieces sent at the same time: one, so that each is soon finished and shared on. */
const UPLOAD_SLOTS = 1
const UPLOADS_MAX = 64
const BUFFER_BYTES = 48 * 1024 * 1024
const DEFAULT_CONTROL_PORT = 8002

type Entry = {
  run: DownloadRun
  /** Commands that wait for it. */
  waiting: number
  /** What is shared until the run's own version is settled: an earlier, complete run of the same task. */
  before: DownloadRun | null
}

/** An account's peer: downloads for the account's commands, serves what it holds to the swarm. */
export class Peer {
  readonly #options: PeerOptions
  readonly #engine: Engine
  readonly #store: TaskStore
  /** The last step in line per task. */
  readonly #turns = new Turns<TaskId>()
  readonly #entries = new Map<TaskId, Entry>()
  #pieceServer!: PieceServer
  #supernodes!: SupernodePool
  #sentBytes = 0
  #isStopping = false

  private constructor(options: PeerOptions, store: TaskStore) {
    this.#options = options
    this.#store = store
    this.#engine = openEngine({
      ...options,
      store,
      bufferBytes: BUFFER_BYTES,
      downloadLimit: options.totalLimit,
    })
  }

  /** @throws DragonflyError ADDRESS_IN_USE, DISK_ERROR */
  static async start(options: PeerOptions): Promise<Peer> {
    const places = peerPlaces(options.homeRoot)
    await sweepOrphans(places)
    const store = await openTaskStore({
      places,
      sha256,
      log: (event, facts) => options.log.warn(facts, event),
    })
    const peer = new Peer(options, store)
    await peer.#listen()
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
      tasks,
    }
  }

  /**
   * Joins or starts the task's download. Whoever calls must release the run; when nobody waits for an unfinished one it stops, and what
   * it has verified is kept. Only who shows the same to the origin joins: others wait for their turn, and are then let in or refused
   * for what they show themselves.
   * @throws DragonflyError USAGE; CANCELLED while the peer stops
   */
  async download(request: DownloadRequest): Promise<{ run: DownloadRun; release: () => void }> {
    const task = taskRequestOf(request)
    const entry = await this.#enter(task, request.nodes)
    entry.waiting++
    let isReleased = false
    const release = () => {
      if (isReleased) return
      isReleased = true
      entry.waiting--
      if (entry.waiting === 0 && !entry.run.isOver) void this.#drop(entry)
    }
    return { run: entry.run, release }
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#turns.settled()
    for (const { run, before } of this.#entries.values()) {
      await run.close()
      await before?.close()
    }
    this.#supernodes.close()
    await this.#pieceServer.close()
    this.#engine.pieces.close()
    await this.#store.close()
  }

  async #listen(): Promise<void> {
    const { clock, random, log, ip, port, totalLimit } = this.#options
    this.#pieceServer = await startPieceServer({
      host: ip ?? undefined,
      port,
      clock,
      limiter: totalLimit === null ? null : new RateLimiter(totalLimit, clock),
      maxUploads: UPLOADS_MAX,
      idleMs: 15_000,
      catalog: { find: taskId => this.#shared(taskId) },
      onSent: (_, bytes) => {
        this.#sentBytes += bytes
      },
    })
    const identity = {
      peerId: randomName(),
      hostName: os.hostname(),
      address: ip ?? '',
      port: this.#pieceServer.port,
      uploadSlots: UPLOAD_SLOTS,
      zone: null,
    }
    this.#supernodes = new SupernodePool({ identity, clock, random, log })
  }

  #shared(taskId: TaskId): { content: NonNullable<DownloadRun['file']>; token: string } | null {
    const entry = this.#entries.get(taskId)
    const run = entry?.run.isShared ? entry.run : entry?.before
    return run?.isShared && run.file ? { content: run.file, token: run.token } : null
  }

  async #enter(task: TaskRequest, nodes: readonly string[]): Promise<Entry> {
    for (;;) {
      const entry = await this.#turns.run(task.taskId, () => this.#presentOrNew(task, nodes))
      if (isSameCaller(entry.run.request, task)) return entry
      await entry.run.done.catch(() => {})
    }
  }

  async #presentOrNew(task: TaskRequest, nodes: readonly string[]): Promise<Entry> {
    if (this.#isStopping) throw new DragonflyError('CANCELLED', 'the peer stops')
    const present = this.#entries.get(task.taskId)
    if (present && !present.run.isOver) return present
    await present?.run.done.catch(() => {})
    const supernodes = nodes.map(node => parseHostPort(node, DEFAULT_CONTROL_PORT))
    const run = await DownloadRun.start(this.#engine, task, {
      openLink:
        supernodes.length > 0 ? handler => this.#supernodes.link(supernodes, task, handler) : undefined,
    })
    const entry: Entry = { run, waiting: 0, before: this.#entries.get(task.taskId)?.run ?? null }
    this.#entries.set(task.taskId, entry)
    void run.done.then(
      result => {
        this.#engine.log.info({ ...result, url: undefined, path: undefined }, 'task complete')
        void entry.before?.close()
        entry.before = null
      },
      error => {
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
      if (isServed) this.#entries.set(taskId, { run: before, waiting: 0, before: null })
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

/** @throws DragonflyError USAGE */
function taskRequestOf(request: DownloadRequest): TaskRequest {
  if (!/^https?:\/\/[^/]/i.test(request.url)) {
    throw new DragonflyError('USAGE', 'the URL must begin with http:// or https:// and name a host')
  }
  const expectedDigest = request.digest === null ? null : parseDigest(request.digest)
  const { url, tag, headers, name } = request
  const range = rangeOf(headers)
  const identity = { url, tag, expectedDigest: expectedDigest ?? undefined, range: range ?? undefined }
  return { taskId: taskIdOf(identity, sha256), url, headers, name, tag, expectedDigest, range }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}
