import os from 'node:os'
import type { Clock } from '../core/clock.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import type { Random } from '../core/random.ts'
import { rendezvousOrder } from '../core/rendezvous.ts'
import type { Log } from '../ops/log.ts'
import type { TaskRequest } from '../peer/engine.ts'
import type { PeerIdentity } from '../peer/supernode-channel.ts'
import { SupernodePool } from '../peer/supernode-pool.ts'
import type { LocatedSupernode } from '../wire/manager-api.ts'
import { ParentLink } from './parent-link.ts'
import type { WaitingSupernodes } from './waiting-supernodes.ts'

type ParentsOptions = {
  readonly supernodeId: string
  /** Named by the operator; then it does not matter what a managing node says. */
  readonly named: readonly HostPort[]
  /** Whether all supernodes make the same tokens, so that those who have theirs from a parent may fetch here. */
  readonly isSecretShared: boolean
  /** Where our piece server is; an empty host lets the parent see which it is. */
  readonly pieces: HostPort
  zone(): string | null
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** Pieces for other zones at the same time. */
const UPLOAD_SLOTS = 8

/** The supernodes from which this one fills, instead of from the origin: there it is a peer like others. */
export class Parents {
  readonly #options: ParentsOptions
  readonly #pool: SupernodePool
  #located: readonly LocatedSupernode[] = []

  constructor(options: ParentsOptions) {
    this.#options = options
    const { clock, random, log } = options
    this.#pool = new SupernodePool({ identity: identityOf(options), clock, random, log })
  }

  /** As the managing node says. */
  locate(parents: readonly LocatedSupernode[]): void {
    this.#located = parents.filter(({ id }) => id !== this.#options.supernodeId)
  }

  /** The way to them for one fetch; null where there are none. The order is the task's, and that of the peers in the parents' zone. */
  linkFor(request: TaskRequest, waiting: WaitingSupernodes): ParentLink | null {
    if (this.present.length === 0) return null
    const nodes = async () =>
      rendezvousOrder(request.taskId, this.present, ({ id }) => id).map(({ control }) => control)
    const search = { first: nodes, known: nodes, again: async () => [] }
    return new ParentLink({
      waiting,
      isSeedOnly: !this.#options.isSecretShared,
      connect: handler => this.#pool.link(search, request, handler),
    })
  }

  /** Those to fill from at present, in no order. */
  get present(): readonly LocatedSupernode[] {
    const { named } = this.#options
    if (named.length === 0) return this.#located
    return named.map(control => ({ id: formatHostPort(control), control }))
  }

  close(): void {
    this.#pool.close()
  }
}

function identityOf({ supernodeId, pieces, zone }: ParentsOptions): PeerIdentity {
  return {
    peerId: supernodeId,
    hostName: os.hostname(),
    address: pieces.host,
    port: pieces.port,
    uploadSlots: UPLOAD_SLOTS,
    /** As it is when a channel opens. */
    get zone() {
      return zone()
    },
  }
}
