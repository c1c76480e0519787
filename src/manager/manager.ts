import type { AddressInfo } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import type { Clock } from '../core/clock.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { formatHostPort } from '../core/host-port.ts'
import type { Log } from '../ops/log.ts'
import { VERSION } from '../ops/version.ts'
import type { HostPlace, TokenRequest } from '../wire/manager-api.ts'
import { type Api, buildApi } from './api.ts'
import { ArmoryEntries } from './armory-entries.ts'
import { type ArmorySource, type OpenArmory, openArmory } from './armory-source.ts'
import { clusterSecret } from './cluster-secret.ts'
import { type ClusterPolicy, RENEWALS_PER_LEASE } from './context.ts'
import { type Database, type DatabaseLocation, describeDatabase, openDatabase } from './database.ts'
import { ManagerLeases } from './manager-leases.ts'
import { Membership } from './membership.ts'
import { RefusalLimit } from './refusal-limit.ts'
import { Supernodes } from './supernodes.ts'
import { Tokens } from './tokens.ts'

export type ManagerOptions = ClusterPolicy & {
  /** 0 lets the system choose. */
  readonly port: number
  /** Address to listen on; null is all of them. */
  readonly listenIp: string | null
  /** Where clients and supernodes find this managing node, `http(s)://host:port`; null is its address or the host's name, and its port. */
  readonly advertise: string | null
  readonly database: DatabaseLocation
  readonly armory: ArmorySource
  /** Of hosts that the armory does not know. */
  readonly defaultPlace: HostPlace
  readonly clock: Clock
  readonly log: Log
}

const BACKLOG = 4_096
const GRACE_MS = 1_000

/** The managing node: who is where, who serves whom, and who belongs to the cluster. All that outlives it is in the database. */
export class Manager {
  readonly #options: ManagerOptions
  readonly #database: Database
  readonly #tokens: Tokens
  readonly #leases: ManagerLeases
  #membership!: Membership
  #armory!: OpenArmory
  #api!: Api
  #renewing: Promise<void> = Promise.resolve()
  #cancelRenewal = () => {}
  #isStopped = false

  private constructor(options: ManagerOptions, database: Database) {
    this.#options = options
    this.#database = database
    this.#tokens = new Tokens(database.kysely, options.clock)
    this.#leases = new ManagerLeases(database.kysely, options.clock)
  }

  /** @throws DragonflyError ADDRESS_IN_USE, DATABASE_FAILED, CONFIG_INVALID */
  static async start(options: ManagerOptions): Promise<Manager> {
    const database = await openDatabase(options.database, options.log)
    const manager = new Manager(options, database)
    try {
      await manager.#open()
    } catch (thrown) {
      await manager.stop()
      throw thrown
    }
    const facts = { url: manager.url, database: describeDatabase(options.database), version: VERSION }
    options.log.info(facts, 'manager started')
    return manager
  }

  get port(): number {
    return (this.#api.server.address() as AddressInfo).port
  }

  /** Where others are told to find it. */
  get url(): string {
    const { advertise, listenIp } = this.#options
    const host = listenIp === null || /^(?:0\.0\.0\.0|::)$/.test(listenIp) ? hostname() : listenIp
    return advertise ?? `http://${formatHostPort({ host, port: this.port })}`
  }

  /** For who runs in the same process, and needs no administrator to have one. */
  async createToken(request: TokenRequest): Promise<string> {
    const { token, view } = await this.#tokens.create(request)
    this.#options.log.info({ tokenId: view.id, kind: view.kind, name: view.name }, 'token made')
    return token
  }

  /** Answers what it was asked, takes nothing new, and leaves the list of managing nodes. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelRenewal()
    await this.#renewing
    const url = this.#api?.server.listening ? this.url : null
    await this.#closeApi()
    await this.#membership?.stop()
    this.#armory?.close()
    if (url !== null) {
      await this.#leases.end(url).catch(thrown => this.#warn(thrown, 'own lease not ended'))
      this.#options.log.info({ url }, 'manager stopped')
    }
    await this.#database.close()
  }

  /** Who is being answered is waited for, but not for long. */
  async #closeApi(): Promise<void> {
    if (!this.#api) return
    const cancel = this.#options.clock.schedule(GRACE_MS, () => this.#api.server.closeAllConnections())
    await this.#api.close()
    cancel()
  }

  async #open(): Promise<void> {
    const { armory, defaultPlace, clock, log } = this.#options
    const { kysely, kind } = this.#database
    const supernodes = new Supernodes(kysely, clock)
    const armoryEntries = new ArmoryEntries(kysely)
    const secret = await clusterSecret(kysely)
    this.#armory = await openArmory(armory, { entries: armoryEntries, defaultPlace, clock, log })
    this.#membership = await Membership.open({ supernodes, managerLeases: this.#leases }, clock, log)
    this.#api = await buildApi({
      policy: this.#options,
      database: kind,
      tokens: this.#tokens,
      supernodes,
      armoryEntries,
      membership: this.#membership,
      armory: this.#armory,
      refusals: new RefusalLimit(clock),
      clusterSecret: secret,
      locates: { known: 0, unknown: 0 },
      log,
    })
    await this.#listen()
    await this.#renew()
    await this.#membership.refresh()
  }

  async #listen(): Promise<void> {
    const { port, listenIp } = this.#options
    const host = listenIp ?? anyAddress()
    try {
      await this.#api.listen({ port, host, backlog: BACKLOG })
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      const isUsage = code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EINVAL'
      throw new DragonflyError(
        isUsage ? 'USAGE' : 'ADDRESS_IN_USE',
        `cannot listen on ${formatHostPort({ host, port })}: ${message}`,
        { cause },
      )
    }
  }

  /** Its own lease, over and over; where that fails, the next time comes as if nothing was. */
  async #renew(): Promise<void> {
    const { clock, leaseMs } = this.#options
    await this.#leases.renew(this.url, leaseMs).catch(thrown => this.#warn(thrown, 'own lease not renewed'))
    if (this.#isStopped) return
    this.#cancelRenewal = clock.schedule(leaseMs / RENEWALS_PER_LEASE, () => {
      this.#renewing = this.#renew()
    })
  }

  #warn(thrown: unknown, message: string): void {
    this.#options.log.warn({ reason: toDragonflyError(thrown).message }, message)
  }
}

/** Of both families, where the host has both. */
function anyAddress(): string {
  const hasIpv6 = Object.values(networkInterfaces()).some(known =>
    known?.some(({ family }) => family === 'IPv6'),
  )
  return hasIpv6 ? '::' : '0.0.0.0'
}
