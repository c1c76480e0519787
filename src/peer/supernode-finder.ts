import { type Clock, orAborted } from '../core/clock.ts'
import { type DragonflyError, toDragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import { jitter, type Random } from '../core/random.ts'
import { rendezvousOrder } from '../core/rendezvous.ts'
import type { TaskId } from '../core/task-id.ts'
import { managerOrigin } from '../net/manager-answer.ts'
import { locate } from '../net/manager-client.ts'
import type { Log } from '../ops/log.ts'
import { VERSION } from '../ops/version.ts'
import { LOCATED_MANAGERS_MAX, type LocateAnswer } from '../wire/manager-api.ts'
import type { Meta, MetaStore, SupernodesMeta } from './meta-store.ts'

/** Finds out which supernodes a task may try, and in which order; the states stand in `docs/internals/manager.md`. */

/** What a request says of it. */
type Wanted = {
  readonly taskId: TaskId
  /** The supernodes that somebody named; with `managers` those for want of any others. */
  readonly nodes: readonly HostPort[]
  /** Managing nodes, if no supernode was named; null where the named ones are the only ones. */
  readonly managers: readonly string[] | null
}

/** One task's way to supernodes; the best comes first. */
export type SupernodeSearch = {
  /** Asks the managing nodes only where nothing is remembered. */
  first(signal: AbortSignal): Promise<readonly HostPort[]>
  /** After all of `first` have failed: asks the managing nodes once more. Empty where they do not answer, or there are none. */
  again(signal: AbortSignal): Promise<readonly HostPort[]>
  /** As `first`, but without asking anybody. */
  known(): Promise<readonly HostPort[]>
}

type FinderOptions = {
  readonly meta: MetaStore
  readonly host: { readonly hostName: string; readonly addresses: readonly string[] }
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

type Asked = {
  readonly managers: readonly string[]
  /** Those of them that the request named. */
  readonly named: readonly string[]
  /** What was remembered then. */
  readonly meta: Meta
}

/** One managing node that hangs costs the head start, all together the total. */
const MANAGER_MS = 2_000
const HEAD_START_MS = 1_000
const MANAGERS_MS = 3_000
/** Whatever the managing node says. */
const REFRESH_MS_MIN = 1_000
const REFRESH_MS_MAX = 86_400_000
const FAILED_REFRESH_MS = 10_000

export class SupernodeFinder {
  readonly #options: FinderOptions
  readonly #closing = new AbortController()
  /** Questions under way, by whom they ask. */
  readonly #asking = new Map<string, Promise<Meta | null>>()
  /** After a refresh that failed, none is tried before. */
  #refreshDueAt = Number.NEGATIVE_INFINITY
  #zone: string | null = null

  private constructor(options: FinderOptions) {
    this.#options = options
  }

  static async open(options: FinderOptions): Promise<SupernodeFinder> {
    const finder = new SupernodeFinder(options)
    await finder.#remember()
    return finder
  }

  /** Of this host, as the managing node last said; null where none has. */
  get zone(): string | null {
    return this.#zone
  }

  /** Null where the request wants no supernode at all. */
  search({ taskId, nodes, managers }: Wanted): SupernodeSearch | null {
    if (managers === null) return nodes.length === 0 ? null : namedOnly(nodes)
    const ordered = (meta: Meta | null) => (meta?.supernodes ? orderOf(meta.supernodes, taskId) : [])
    const known = async () => {
      const meta = await this.#remember()
      return this.#isOfThese(meta, managers) ? ordered(meta) : []
    }
    return {
      known: async () => orElse(await known(), nodes),
      first: async signal => {
        const meta = await this.#remember()
        const isUsable = this.#isOfThese(meta, managers)
        if (isUsable && this.#isOfThisHost(meta)) {
          this.#refreshIfStale(meta, managers)
          return orElse(ordered(meta), nodes)
        }
        const asked = await this.#ask(managers, meta, signal)
        return orElse(ordered(asked ?? (isUsable ? meta : null)), nodes)
      },
      again: async signal => ordered(await this.#ask(managers, await this.#remember(), signal)),
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#asking.values())
  }

  async #remember(): Promise<Meta> {
    const meta = await this.#options.meta.read()
    if (meta.node) this.#zone = meta.node.zone
    return meta
  }

  /** What the managing nodes of another cluster said is of no use. */
  #isOfThese({ supernodes, managers }: Meta, named: readonly string[]): boolean {
    if (supernodes === null) return false
    return named.length === 0 || named.some(manager => managers.includes(manager))
  }

  /** A home may be shared by hosts, and a host may move. */
  #isOfThisHost({ node }: Meta): boolean {
    const { hostName, addresses } = this.#options.host
    return node === null || (node.hostName === hostName && `${node.addresses}` === `${addresses}`)
  }

  #refreshIfStale(meta: Meta, named: readonly string[]): void {
    const { clock, random } = this.#options
    const { askedAt, refreshMs } = meta.supernodes!
    const ageMs = clock.wallNow() - askedAt
    const lifeMs = Math.min(Math.max(refreshMs, REFRESH_MS_MIN), REFRESH_MS_MAX)
    const isFresh = ageMs >= 0 && ageMs < lifeMs && meta.node !== null
    if (isFresh || clock.now() < this.#refreshDueAt) return
    void this.#ask(named, meta, this.#closing.signal).then(answered => {
      if (answered === null) this.#refreshDueAt = clock.now() + jitter(random, FAILED_REFRESH_MS)
    })
  }

  /** All who ask the same ones meanwhile get one answer. Null where there is none, or the signal ended the wait. */
  async #ask(named: readonly string[], meta: Meta, signal: AbortSignal): Promise<Meta | null> {
    const managers = managersOf(named, meta)
    if (managers.length === 0) return null
    const key = managers.join(' ')
    let asking = this.#asking.get(key)
    if (asking === undefined) {
      asking = this.#askNow(managers, named, meta).finally(() => this.#asking.delete(key))
      this.#asking.set(key, asking)
    }
    return orAborted(asking, signal).catch(thrown => {
      if (signal.aborted) return null
      throw thrown
    })
  }

  async #askNow(managers: readonly string[], named: readonly string[], meta: Meta): Promise<Meta | null> {
    const { clock, host, log } = this.#options
    const startedAt = clock.now()
    const call = {
      managers,
      clock,
      signal: this.#closing.signal,
      timeoutMs: MANAGER_MS,
      totalMs: MANAGERS_MS,
      headStartMs: HEAD_START_MS,
      onFailed: (manager: string, { code, message }: DragonflyError) =>
        log.warn({ manager, code, cause: message }, 'managing node gave no answer'),
    }
    const request = { ...host, addresses: [...host.addresses], version: VERSION }
    const answer = await locate(call, request).catch(() => null)
    if (answer === null) {
      if (this.#closing.signal.aborted) return null
      const ms = Math.round(clock.now() - startedAt)
      log.warn({ tried: managers, ms }, 'no managing node to be had')
      return null
    }
    return this.#learn(answer, { managers, named, meta })
  }

  async #learn(answer: LocateAnswer, asked: Asked): Promise<Meta> {
    const { clock, host, log } = this.#options
    const { place, isKnown, zone, refreshMs } = answer
    const node = { ...host, addresses: [...host.addresses], ...place, isKnown, zone }
    const groups = this.#groupsOf(answer, asked)
    const told = answer.managers.map(manager => managerOrigin(manager)!)
    const managers = [...new Set([...asked.named, ...(told.length > 0 ? told : asked.managers)])]
    const learnt: Meta = {
      node,
      managers: managers.slice(0, LOCATED_MANAGERS_MAX),
      supernodes: { askedAt: clock.wallNow(), refreshMs, groups },
    }
    this.#zone = zone
    const supernodes = groups.flatMap(group => group.supernodes.map(({ control }) => formatHostPort(control)))
    const shown = supernodes.slice(0, SHOWN_MAX)
    log.info({ ...place, isKnown, zone, count: supernodes.length, supernodes: shown }, 'supernodes learnt')
    await this.#options.meta.write(learnt).catch(thrown => {
      const { code, message } = toDragonflyError(thrown)
      log.warn({ code, cause: message }, 'what the managing node said could not be kept')
    })
    return learnt
  }

  /**
   * A managing node that has been away for longer than the leases last knows no supernodes for a moment, and those that served this place
   * serve it still.
   */
  #groupsOf(answer: LocateAnswer, { named, meta }: Asked): LocateAnswer['groups'] {
    const isEmpty = answer.groups.every(group => group.supernodes.length === 0)
    const isSamePlace = meta.node?.securityDomain === answer.place.securityDomain
    if (!isEmpty || !isSamePlace || !this.#isOfThese(meta, named)) return answer.groups
    this.#options.log.warn({}, 'the managing node knows no supernode, those from before are kept')
    return meta.supernodes!.groups
  }
}

const SHOWN_MAX = 8

function namedOnly(nodes: readonly HostPort[]): SupernodeSearch {
  const first = async () => nodes
  return { first, known: first, again: async () => [] }
}

function orElse(found: readonly HostPort[], others: readonly HostPort[]): readonly HostPort[] {
  return found.length > 0 ? found : others
}

/** Those named, and those from before where they are of the same cluster. */
function managersOf(named: readonly string[], meta: Meta): string[] {
  const isSame = named.length === 0 || named.some(manager => meta.managers.includes(manager))
  return [...new Set([...named, ...(isSame ? meta.managers : [])])]
}

function orderOf({ groups }: SupernodesMeta, taskId: TaskId): HostPort[] {
  const ordered = groups.flatMap(group => rendezvousOrder(taskId, group.supernodes, ({ id }) => id))
  const byName = new Map(ordered.map(({ control }) => [formatHostPort(control), control] as const).reverse())
  return [...byName.values()].reverse()
}
