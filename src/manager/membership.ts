import type { Clock } from '../core/clock.ts'
import { toDragonflyError } from '../core/error.ts'
import type { Log } from '../ops/log.ts'
import { LOCATED_MANAGERS_MAX } from '../wire/manager-api.ts'
import type { ManagerLeases } from './manager-leases.ts'
import { Refresher } from './refresher.ts'
import type { Supernode, Supernodes } from './supernodes.ts'

/** With the time that an answer takes, less than a second behind the database. */
const REFRESH_MS = 500

type Sources = { readonly supernodes: Supernodes; readonly managerLeases: ManagerLeases }

/**
 * Who is there, in memory, so that no client's question waits for the database. While the database does not answer, time stands still
 * here: nobody can renew then, and whoever was there last is a better answer than nobody.
 */
export class Membership {
  readonly #sources: Sources
  readonly #clock: Clock
  readonly #log: Log
  #supernodes = new Map<string, Supernode>()
  #managers: readonly { readonly url: string; readonly expires_at: number }[] = []
  #loadedAt = 0
  #isFresh = true
  readonly #refresher: Refresher

  private constructor(sources: Sources, clock: Clock, log: Log) {
    this.#sources = sources
    this.#clock = clock
    this.#log = log
    this.#refresher = new Refresher({ load: () => this.#load(), everyMs: REFRESH_MS, clock })
  }

  static async open(sources: Sources, clock: Clock, log: Log): Promise<Membership> {
    const membership = new Membership(sources, clock, log)
    await membership.refresh()
    membership.#refresher.start()
    return membership
  }

  /** False while the database does not answer. */
  get isFresh(): boolean {
    return this.#isFresh
  }

  /** The moment at which leases are looked at. */
  get asOf(): number {
    return this.#isFresh ? this.#clock.wallNow() : this.#loadedAt
  }

  /** Those that take something new. */
  active(): Supernode[] {
    const now = this.asOf
    return this.all().filter(({ isDraining, expiresAt }) => !isDraining && expiresAt > now)
  }

  /** Also those that drain, and those whose lease has run out. */
  all(): Supernode[] {
    return [...this.#supernodes.values()]
  }

  managers(): string[] {
    const now = this.asOf
    return this.#managers
      .filter(({ expires_at }) => expires_at > now)
      .slice(0, LOCATED_MANAGERS_MAX)
      .map(({ url }) => url)
  }

  /** A supernode has renewed here. What only prolongs what is known needs no look at the database. */
  async renewed(supernode: Supernode): Promise<void> {
    const known = this.#supernodes.get(supernode.id)
    if (known === undefined || known.expiresAt <= this.asOf || known.isDraining !== supernode.isDraining)
      await this.refresh()
    else this.#supernodes.set(supernode.id, supernode)
  }

  /** Resolves when all is known that was in the database at the time of the call. */
  refresh(): Promise<void> {
    return this.#refresher.refresh()
  }

  stop(): Promise<void> {
    return this.#refresher.stop()
  }

  async #load(): Promise<void> {
    try {
      const loadedAt = this.#clock.wallNow()
      const [supernodes, managers] = await Promise.all([
        this.#sources.supernodes.list(),
        this.#sources.managerLeases.list(),
      ])
      this.#supernodes = new Map(supernodes.map(supernode => [supernode.id, supernode]))
      this.#managers = managers
      this.#loadedAt = loadedAt
      if (!this.#isFresh) this.#log.info({}, 'database answers again')
      this.#isFresh = true
    } catch (thrown) {
      if (this.#isFresh)
        this.#log.error({ reason: toDragonflyError(thrown).message }, 'database does not answer')
      this.#isFresh = false
    }
  }
}
