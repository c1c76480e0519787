import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import { rangeOf } from '../core/caller.ts'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import type { Random } from '../core/random.ts'
import { RateMeter } from '../core/rate-meter.ts'
import { type TaskId, taskIdOf } from '../core/task-id.ts'
import { serveControl } from '../net/control-socket.ts'
import type { Http1Timeouts } from '../net/http1-connection.ts'
import { type PieceServer, startPieceServer } from '../net/piece-server.ts'
import type { ProxySettings } from '../net/proxy.ts'
import { RateLimiter } from '../net/rate-limiter.ts'
import type { Log } from '../ops/log.ts'
import { userAgentOf, VERSION } from '../ops/version.ts'
import { type Engine, openEngine } from '../peer/engine.ts'
import { repoPlaces } from '../store/places.ts'
import { sweepOrphans } from '../store/sweep-orphans.ts'
import { openTaskStore, type TaskStore } from '../store/task-store.ts'
import { Hosts } from '../swarm/hosts.ts'
import { Zones } from '../swarm/zones.ts'
import type { PeerMessage, PeerMessages } from '../wire/control.ts'
import type { LeaseRequest } from '../wire/manager-api.ts'
import { Access } from './access.ts'
import { provenanceOf } from './cdn-fill.ts'
import { type ClusterOptions, type Identity, openIdentity } from './cluster.ts'
import { ControlChannels } from './control-channels.ts'
import { EventRecord } from './event-record.ts'
import type { Standing } from './last-lease.ts'
import { Membership } from './membership.ts'
import { Parents } from './parents.ts'
import { pieceToken } from './piece-token.ts'
import { SEED_HOST, type Session } from './session.ts'
import { SwarmTask } from './swarm-task.ts'
import { TaskTable } from './task-table.ts'

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
  /** The cluster to be a member of, by its managing nodes. */
  readonly cluster?: ClusterOptions | null
  /** Of a cluster without managing nodes: where all supernodes have the same, each accepts the tokens of the others. */
  readonly clusterSecret?: Uint8Array | null
  /** Supernodes to fill from instead of from the origin; unless set, those that a managing node names. */
  readonly parents?: readonly HostPort[]
  /** Where this supernode is, unless a managing node says so. */
  readonly zone?: string | null
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

const BUFFER_BYTES = 256 * 1024 * 1024
/** Pieces per consumer on their way at once; more only makes each of them slower to be shared on. */
const CONSUMER_WINDOW = 1
const UPLOADS_MAX = 1_024
const RECORD_BYTES = 1024 ** 3
const RECORD_WAITING_BYTES = 16 * 1024 ** 2
const IDLE_CLIENT_MS = 30_000

/** Tracker, scheduler and CDN in one process. State is soft: peers announce, the CDN's copies and the token secret are on disk. */
export class Supernode {
  readonly #options: SupernodeOptions
  readonly #engine: Engine
  readonly #store: TaskStore
  readonly #identity: Identity
  readonly #access: Access
  readonly #hosts = new Hosts()
  readonly #zones = new Zones()
  readonly #channels: ControlChannels
  readonly #tasks: TaskTable
  readonly #server = createServer((request, response) => this.#answer(request, response))
  readonly #sentRate: RateMeter
  #pieceServer!: PieceServer
  #parents!: Parents
  #membership: Membership | null = null
  #stopControl = () => {}
  #record: EventRecord | null = null
  #sentBytes = 0
  /** By the last word of a managing node, or as set. */
  #zone: string | null
  #isDraining = false

  private constructor(options: SupernodeOptions, store: TaskStore, identity: Identity) {
    const { clock, log } = options
    this.#options = options
    this.#store = store
    this.#identity = identity
    this.#zone = options.zone ?? null
    this.#sentRate = new RateMeter(clock.now())
    this.#engine = openEngine({
      ...options,
      store,
      bufferBytes: BUFFER_BYTES,
      userAgent: userAgentOf('supernode'),
    })
    this.#access = new Access(this.#engine.origin, clock)
    this.#hosts.add(SEED_HOST, options.uploadSlots)
    this.#tasks = new TaskTable(clock, (taskId, isNamedByDigest) => this.#makeTask(taskId, isNamedByDigest))
    this.#channels = new ControlChannels({
      clock,
      log,
      hosts: this.#hosts,
      supernodeId: identity.supernodeId,
      piecesAddressFor: ({ localHost }) =>
        formatHostPort({ host: options.advertiseIp ?? localHost, port: this.downloadPort }),
      onMessage: (session, message) => this.#handle(session, message),
      onGone: session => {
        for (const task of this.#tasks.all()) task.leave(session.host)
      },
    })
  }

  /** @throws DragonflyError ADDRESS_IN_USE, DISK_ERROR; where it is to join a cluster what `openIdentity` throws */
  static async start(options: SupernodeOptions): Promise<Supernode> {
    const { homeDir, log } = options
    await mkdir(homeDir, { recursive: true, mode: 0o700 })
    const identity = await openIdentity(options)
    const places = repoPlaces(homeDir)
    await sweepOrphans(places)
    const store = await openTaskStore({ places, sha256, log: (event, facts) => log.warn(facts, event) })
    const supernode = new Supernode(options, store, identity)
    await supernode.#openRecord()
    await supernode.#listen()
    await supernode.#join()
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
    return this.#tasks.all().reduce((sum, task) => sum + task.originBytes, 0)
  }

  /** Downloads under way, as far as their reports have arrived. */
  get consumerCount(): number {
    return this.#tasks.all().reduce((sum, task) => sum + task.consumerCount, 0)
  }

  /** Tasks of which a copy is being made, or somebody waits to be let in. */
  get busyCount(): number {
    return this.#tasks.all().filter(task => !task.isAtRest).length
  }

  get zone(): string | null {
    return this.#zone
  }

  /** Whether tasks that are not here yet are declined. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  async stop(): Promise<void> {
    await this.#membership?.stop()
    this.#stopControl()
    this.#access.close()
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
    await this.#pieceServer.close()
    await this.#tasks.close()
    this.#parents.close()
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
      catalog: { find: taskId => this.#tasks.find(taskId)?.content ?? null },
      onSent: (_, bytes) => {
        this.#sentBytes += bytes
        this.#sentRate.add(bytes, clock.now())
      },
    })
    this.#parents = this.#openParents()
    this.#stopControl = serveControl(this.#server, {
      clock,
      onConnection: socket => this.#channels.open(socket),
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
    this.#tasks.beginSweeping()
  }

  #openParents(): Parents {
    const { advertiseIp, listenIp, parents = [], clock, random, log } = this.#options
    const { supernodeId, isSecretShared } = this.#identity
    return new Parents({
      supernodeId,
      named: parents,
      isSecretShared,
      pieces: { host: advertiseIp ?? specific(listenIp) ?? '', port: this.downloadPort },
      zone: () => this.#zone,
      clock,
      random,
      log,
    })
  }

  async #join(): Promise<void> {
    const { cluster } = this.#options
    const { supernodeId, credential } = this.#identity
    if (!cluster || credential === null) return
    this.#membership = new Membership({
      ...this.#options,
      managers: cluster.managers,
      supernodeId,
      credential,
      report: () => this.#report(cluster.host),
      onStanding: standing => this.#obey(standing),
    })
    await this.#membership.start()
  }

  #report(host: string): LeaseRequest {
    const { uploadLimit, clock } = this.#options
    return {
      control: { host, port: this.port },
      pieces: { host, port: this.downloadPort },
      hostName: os.hostname(),
      version: VERSION,
      load: {
        peers: this.#channels.count,
        tasks: this.#tasks.count,
        sentBytesPerSecond: Math.round(this.#sentRate.rate(clock.now())),
        uploadLimit,
      },
    }
  }

  /** What a managing node says of us. Open channels to parents keep the zone that they were opened with. */
  #obey({ zone, parents, isDraining }: Standing): void {
    if (isDraining !== this.#isDraining) {
      this.#options.log.info({}, isDraining ? 'draining, new tasks are declined' : 'draining no more')
    }
    this.#zone = zone
    this.#isDraining = isDraining
    this.#parents.locate(parents)
  }

  #handle(session: Session, message: Exclude<PeerMessage, { type: 'hello' }>): void {
    switch (message.type) {
      case 'announce':
        return this.#onAnnounce(session, message)
      case 'report':
        return this.#tasks.find(message.taskId)?.report(session, message)
      case 'leave':
        return this.#tasks.find(message.taskId)?.leave(session.host)
    }
  }

  #onAnnounce(session: Session, message: PeerMessages['announce']): void {
    const { taskId, expectedDigest } = message
    if (!isGenuine(message)) {
      const said = 'the task id does not belong to what was announced'
      return this.#refuse(session, taskId, new DragonflyError('SUPERNODE_FAILED', said))
    }
    const known = this.#tasks.find(taskId)
    if (!known && this.#isDraining) {
      const said = 'this supernode drains, and takes no new task'
      return session.sendError(taskId, new DragonflyError('SUPERNODE_DECLINED', said))
    }
    void (known ?? this.#tasks.add(taskId, expectedDigest !== null)).announce(session, message)
  }

  /** The channel stays: an older or newer peer may filter URLs otherwise, and its other tasks are in order. */
  #refuse(session: Session, taskId: TaskId, error: DragonflyError): void {
    session.sendError(taskId, error)
    this.#options.log.warn({ peer: session.address, taskId, cause: error.message }, 'announce refused')
  }

  #makeTask(taskId: TaskId, isNamedByDigest: boolean): SwarmTask {
    const { supernodeId, secret } = this.#identity
    return new SwarmTask(taskId, {
      engine: this.#engine,
      hosts: this.#hosts,
      zones: this.#zones,
      access: this.#access,
      parents: this.#parents,
      supernodeId,
      tokenFor: (version, caller) =>
        pieceToken(secret, {
          taskId,
          generation: version.generation,
          provenance: isNamedByDigest ? provenanceOf(version, caller) : null,
        }),
      sessionOf: host => this.#channels.sessionOf(host),
      freshMs: this.#options.freshMs,
      window: CONSUMER_WINDOW,
      originReaders: this.#options.originReaders,
      record: this.#record,
    })
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const isStatus = request.method === 'GET' && request.url === '/'
    const body = isStatus
      ? {
          supernode: VERSION,
          peers: this.#channels.count,
          tasks: this.#tasks.count,
          sentBytes: this.#sentBytes,
          originBytes: this.originBytes,
          parentBytes: this.#tasks.all().reduce((sum, task) => sum + task.parentBytes, 0),
          zone: this.#zone,
          parents: this.#parents.present.map(({ control }) => formatHostPort(control)),
          isDraining: this.#isDraining,
        }
      : { code: 'NOT_FOUND', message: 'there is GET / for a status, and the control channel' }
    response.writeHead(isStatus ? 200 : 404, { 'content-type': 'application/json' })
    response.end(`${JSON.stringify(body)}\n`)
  }
}

/** An address at which others can reach us; null where we listen on all. */
function specific(listenIp: string | null): string | null {
  return listenIp === '0.0.0.0' || listenIp === '::' ? null : listenIp
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
