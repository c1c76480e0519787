import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { rangeOf } from '../core/caller.ts'
import type { Clock } from '../core/clock.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { formatHostPort, isHostPort } from '../core/host-port.ts'
import type { Random } from '../core/random.ts'
import { type TaskId, taskIdOf } from '../core/task-id.ts'
import { TokenBucket } from '../core/token-bucket.ts'
import { type ControlHandler, type ControlSocket, serveControl } from '../net/control-socket.ts'
import type { Http1Timeouts } from '../net/http1-connection.ts'
import { type PieceServer, startPieceServer } from '../net/piece-server.ts'
import type { ProxySettings } from '../net/proxy.ts'
import { RateLimiter } from '../net/rate-limiter.ts'
import type { Log } from '../ops/log.ts'
import { randomName } from '../ops/system-random.ts'
import { userAgentOf, VERSION } from '../ops/version.ts'
import { type Engine, openEngine } from '../peer/engine.ts'
import { repoPlaces } from '../store/places.ts'
import { sweepOrphans } from '../store/sweep-orphans.ts'
import { openTaskStore, type TaskStore } from '../store/task-store.ts'
import { type HostId, Hosts } from '../swarm/hosts.ts'
import { Zones } from '../swarm/zones.ts'
import { decodePeerMessage, type PeerMessage, type PeerMessages, PROTOCOL_VERSION } from '../wire/control.ts'
import { Access } from './access.ts'
import { provenanceOf } from './cdn-fill.ts'
import { EventRecord } from './event-record.ts'
import { NamelessChannels } from './nameless-channels.ts'
import { loadSecret, pieceToken } from './piece-token.ts'
import { SEED_HOST, Session } from './session.ts'
import { SwarmTask } from './swarm-task.ts'

export type SupernodeOptions = {
  /** Control channel and API; 0 lets the system choose. */
  readonly port: number
  /** Piece server; 0 lets the system choose. */
  readonly downloadPort: number
  readonly homeDir: string
  /** Address to listen on; null is all of them. */
  readonly listenIp: string | null
  /** Address that peers are told for the piece server; null is the one by which each of them came. */
  readonly advertiseIp: string | null
  /** Bytes per second that the piece server may send; null is no limit. */
  readonly uploadLimit: number | null
  /** Pieces that the CDN sends at the same time; null lets it find out how many its link carries. */
  readonly uploadSlots: number | null
  /** Peers of a task that may read the origin at once should this supernode be gone. */
  readonly originReaders: number
  readonly originTimeouts: Http1Timeouts
  /** Through whom the origin is asked; supernodes and peers never are. */
  readonly proxies?: ProxySettings | null
  readonly freshMs: number
  /** What the scheduler is told and decides is appended to this file; null is no recording. */
  readonly recordFile: string | null
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

const BUFFER_BYTES = 256 * 1024 * 1024
/** Pieces per consumer on their way at once; more only makes each of them slower to be shared on. */
const CONSUMER_WINDOW = 1
const UPLOADS_MAX = 1_024
/** Upload slots that a peer may name. */
const PEER_SLOTS_MAX = 64
/**
 * What one peer may send: pieces come in at most at this rate, and who comes back after a restart announces all that it holds at once.
 * Long messages count as several, and announces cost more than reports.
 */
const MESSAGES_PER_SECOND = 2_000
const MESSAGES_AHEAD_MS = 10_000
const BYTES_PER_MESSAGE = 512
const ANNOUNCE_COST = 4
const RECORD_BYTES = 1024 ** 3
const RECORD_WAITING_BYTES = 16 * 1024 ** 2
const IDLE_TASK_MS = 60_000
const IDLE_CLIENT_MS = 30_000

/** Tracker, scheduler and CDN in one process. State is soft: peers announce, the CDN's copies and the token secret are on disk. */
export class Supernode {
  readonly #options: SupernodeOptions
  readonly #engine: Engine
  readonly #store: TaskStore
  readonly #secret: Uint8Array
  readonly #access: Access
  readonly #hosts = new Hosts()
  readonly #zones = new Zones()
  readonly #nameless: NamelessChannels
  readonly #sessions = new Map<HostId, Session>()
  readonly #tasks = new Map<TaskId, SwarmTask>()
  readonly #supernodeId = randomName()
  readonly #server = createServer((request, response) => this.#answer(request, response))
  #pieceServer!: PieceServer
  #stopControl = () => {}
  #cancelSweep = () => {}
  #nextHost: HostId = SEED_HOST + 1
  #record: EventRecord | null = null
  #sentBytes = 0

  private constructor(options: SupernodeOptions, store: TaskStore, secret: Uint8Array) {
    this.#options = options
    this.#store = store
    this.#secret = secret
    this.#engine = openEngine({
      ...options,
      store,
      bufferBytes: BUFFER_BYTES,
      userAgent: userAgentOf('supernode'),
    })
    this.#access = new Access(this.#engine.origin, options.clock)
    this.#nameless = new NamelessChannels(options.clock)
    this.#hosts.add(SEED_HOST, options.uploadSlots)
  }

  /** @throws DragonflyError ADDRESS_IN_USE, DISK_ERROR */
  static async start(options: SupernodeOptions): Promise<Supernode> {
    await mkdir(options.homeDir, { recursive: true, mode: 0o700 })
    const places = repoPlaces(options.homeDir)
    await sweepOrphans(places)
    const store = await openTaskStore({
      places,
      sha256,
      log: (event, facts) => options.log.warn(facts, event),
    })
    const supernode = new Supernode(options, store, await loadSecret(options.homeDir))
    await supernode.#openRecord()
    await supernode.#listen()
    return supernode
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get downloadPort(): number {
    return this.#pieceServer.port
  }

  /** Bytes sent by the piece server since the start. */
  get sentBytes(): number {
    return this.#sentBytes
  }

  /** Bytes read from origins for the tasks in memory. */
  get originBytes(): number {
    return [...this.#tasks.values()].reduce((sum, task) => sum + task.originBytes, 0)
  }

  /** Downloads under way, as far as their reports have arrived. */
  get consumerCount(): number {
    return [...this.#tasks.values()].reduce((sum, task) => sum + task.consumerCount, 0)
  }

  async stop(): Promise<void> {
    this.#cancelSweep()
    this.#stopControl()
    this.#access.close()
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
    await this.#pieceServer.close()
    await Promise.all([...this.#tasks.values()].map(task => task.close()))
    this.#engine.pieces.close()
    await this.#store.close()
    await this.#record?.close()
  }

  async #openRecord(): Promise<void> {
    const { recordFile, clock, log, uploadSlots } = this.#options
    if (recordFile === null) return
    this.#record = await EventRecord.open({
      file: recordFile,
      clock,
      log,
      bytesMax: RECORD_BYTES,
      waitingBytesMax: RECORD_WAITING_BYTES,
      seedSlots: uploadSlots,
      window: CONSUMER_WINDOW,
    })
  }

  async #listen(): Promise<void> {
    const { clock, listenIp, downloadPort, port, uploadLimit } = this.#options
    this.#pieceServer = await startPieceServer({
      host: listenIp ?? undefined,
      port: downloadPort,
      clock,
      limiter: uploadLimit === null ? null : new RateLimiter(uploadLimit, clock),
      maxUploads: UPLOADS_MAX,
      idleMs: IDLE_CLIENT_MS,
      catalog: { find: taskId => this.#tasks.get(taskId)?.content ?? null },
      onSent: (_, bytes) => {
        this.#sentBytes += bytes
      },
    })
    this.#stopControl = serveControl(this.#server, {
      clock,
      onConnection: socket => this.#onConnection(socket),
    })
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject)
        this.#server.listen(port, listenIp ?? undefined, resolve)
      })
    } catch (cause) {
      await this.#pieceServer.close()
      throw new DragonflyError('ADDRESS_IN_USE', `port ${port} cannot be listened on`, { cause })
    }
    this.#sweepLater()
  }

  #onConnection(socket: ControlSocket): ControlHandler {
    let session: Session | null = null
    const { clock } = this.#options
    const budget = new TokenBucket(MESSAGES_PER_SECOND, clock.now())
    const pay = (cost: number) => {
      if (budget.take(cost, clock.now()) <= MESSAGES_AHEAD_MS) return
      throw new DragonflyError('SUPERNODE_OVERLOADED', 'one peer alone sends too many messages')
    }
    const refuse = (thrown: unknown) => {
      const refused = session ?? new Session(-1, NOBODY, socket)
      refused.sendError('', thrown)
      this.#options.log.warn(
        { peer: socket.remoteHost, cause: toDragonflyError(thrown).message },
        'channel refused',
      )
      socket.close()
    }
    const endNameless = this.#nameless.add(socket.remoteHost, refuse)
    return {
      onMessage: encoded => {
        try {
          pay(1 + encoded.length / BYTES_PER_MESSAGE)
          const message = decodePeerMessage(encoded)
          if (message.type === 'announce') pay(ANNOUNCE_COST)
          if (session) this.#handle(session, message)
          else {
            session = this.#greet(message, socket)
            endNameless()
          }
        } catch (thrown) {
          refuse(thrown)
        }
      },
      onRoundTrip: milliseconds => {
        if (session) this.#hosts.setRoundTrip(session.host, milliseconds)
      },
      onClose: () => {
        endNameless()
        if (session) this.#forget(session)
      },
    }
  }

  #greet(message: PeerMessage, socket: ControlSocket): Session {
    if (message.type !== 'hello') throw new DragonflyError('PROTOCOL_INVALID', 'a channel begins with hello')
    if (message.version !== PROTOCOL_VERSION) {
      const said = `the peer speaks version ${message.version} of the protocol, this supernode ${PROTOCOL_VERSION}`
      throw new DragonflyError('PROTOCOL_VERSION', said)
    }
    const session = new Session(this.#nextHost++, message, socket)
    // Others are sent there.
    if (!isHostPort({ host: session.address, port: message.port })) {
      throw new DragonflyError('PROTOCOL_INVALID', 'a hello names an address that is none')
    }
    this.#sessions.set(session.host, session)
    this.#hosts.add(session.host, Math.min(Math.max(message.uploadSlots, 1), PEER_SLOTS_MAX))
    const host = this.#options.advertiseIp ?? socket.localHost
    const address = formatHostPort({ host, port: this.downloadPort })
    session.send({ type: 'welcome', version: PROTOCOL_VERSION, supernodeId: this.#supernodeId, address })
    return session
  }

  #handle(session: Session, message: PeerMessage): void {
    switch (message.type) {
      case 'announce':
        if (isGenuine(message)) void this.#taskFor(message).announce(session, message)
        else this.#refuse(session, message)
        return
      case 'report':
        return this.#tasks.get(message.taskId)?.report(session, message)
      case 'leave':
        return this.#tasks.get(message.taskId)?.leave(session.host)
      case 'hello':
        throw new DragonflyError('PROTOCOL_INVALID', 'a channel has one hello')
    }
  }

  /** The channel stays: an older or newer peer may filter URLs otherwise, and its other tasks are in order. */
  #refuse(session: Session, { taskId }: PeerMessages['announce']): void {
    const said = 'the task id does not belong to what was announced'
    session.sendError(taskId, new DragonflyError('SUPERNODE_FAILED', said))
    this.#options.log.warn({ peer: session.address, taskId, cause: said }, 'announce refused')
  }

  #taskFor(message: PeerMessages['announce']): SwarmTask {
    const known = this.#tasks.get(message.taskId)
    if (known) return known
    const task = new SwarmTask(message.taskId, {
      engine: this.#engine,
      hosts: this.#hosts,
      zones: this.#zones,
      access: this.#access,
      tokenFor: (version, caller) =>
        pieceToken(this.#secret, {
          taskId: message.taskId,
          generation: version.generation,
          provenance: message.expectedDigest === null ? null : provenanceOf(version, caller),
        }),
      sessionOf: host => this.#sessions.get(host),
      freshMs: this.#options.freshMs,
      window: CONSUMER_WINDOW,
      originReaders: this.#options.originReaders,
      record: this.#record,
    })
    this.#tasks.set(message.taskId, task)
    return task
  }

  #forget(session: Session): void {
    session.end()
    this.#sessions.delete(session.host)
    for (const task of this.#tasks.values()) task.leave(session.host)
    this.#hosts.remove(session.host)
  }

  /** Tasks that nobody is a member of are let go from memory; their content stays on disk. */
  #sweepLater(): void {
    let idleBefore = new Set<SwarmTask>()
    const sweep = () => {
      const idle = new Set([...this.#tasks.values()].filter(task => task.isIdle))
      for (const task of idle) {
        if (!idleBefore.has(task)) continue
        this.#tasks.delete(task.taskId)
        void task.close()
      }
      idleBefore = idle
      this.#cancelSweep = this.#options.clock.schedule(IDLE_TASK_MS, sweep)
    }
    this.#cancelSweep = this.#options.clock.schedule(IDLE_TASK_MS, sweep)
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const isStatus = request.method === 'GET' && request.url === '/'
    const body = isStatus
      ? {
          supernode: VERSION,
          peers: this.#sessions.size,
          tasks: this.#tasks.size,
          sentBytes: this.#sentBytes,
        }
      : { code: 'NOT_FOUND', message: 'there is GET / for a status, and the control channel' }
    response.writeHead(isStatus ? 200 : 404, { 'content-type': 'application/json' })
    response.end(`${JSON.stringify(body)}\n`)
  }
}

const NOBODY: PeerMessages['hello'] = {
  type: 'hello',
  version: PROTOCOL_VERSION,
  peerId: '',
  hostName: '',
  address: '',
  port: 0,
  uploadSlots: 1,
  zone: null,
}

/**
 * The id must follow from what is announced, and so must the range, which is part of it, from the headers that go to the origin: otherwise
 * one content could be put in another's place.
 */
function isGenuine({ taskId, url, tag, headers, expectedDigest, range }: PeerMessages['announce']): boolean {
  const identity = { url, tag, expectedDigest: expectedDigest ?? undefined, range: range ?? undefined }
  return taskIdOf(identity, sha256) === taskId && rangeOf(headers) === range
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}
