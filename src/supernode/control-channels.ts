import type { Clock } from '../core/clock.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { isHostPort } from '../core/host-port.ts'
import { TokenBucket } from '../core/token-bucket.ts'
import type { ControlHandler, ControlSocket } from '../net/control-socket.ts'
import type { Log } from '../ops/log.ts'
import type { HostId, Hosts } from '../swarm/hosts.ts'
import {
  decodePeerMessage,
  encodeSupernodeMessage,
  type PeerMessage,
  PROTOCOL_VERSION,
} from '../wire/control.ts'
import { NamelessChannels } from './nameless-channels.ts'
import { SEED_HOST, Session } from './session.ts'

type ChannelsOptions = {
  readonly clock: Clock
  readonly log: Log
  readonly hosts: Hosts
  readonly supernodeId: string
  /** `host:port` of our piece server, as a newcomer on this channel is told. */
  piecesAddressFor(socket: ControlSocket): string
  /** Of somebody who has said hello. */
  onMessage(session: Session, message: Exclude<PeerMessage, { type: 'hello' }>): void
  onGone(session: Session): void
}

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

/** Who is connected, and under which number. Each says hello first, in our version of the protocol, and then not too much. */
export class ControlChannels {
  readonly #options: ChannelsOptions
  readonly #nameless: NamelessChannels
  readonly #sessions = new Map<HostId, Session>()
  #nextHost: HostId = SEED_HOST + 1

  constructor(options: ChannelsOptions) {
    this.#options = options
    this.#nameless = new NamelessChannels(options.clock)
  }

  get count(): number {
    return this.#sessions.size
  }

  sessionOf(host: HostId): Session | undefined {
    return this.#sessions.get(host)
  }

  open(socket: ControlSocket): ControlHandler {
    let session: Session | null = null
    const { clock, hosts, log } = this.#options
    const budget = new TokenBucket(MESSAGES_PER_SECOND, clock.now())
    const pay = (cost: number) => {
      if (budget.take(cost, clock.now()) <= MESSAGES_AHEAD_MS) return
      throw new DragonflyError('SUPERNODE_OVERLOADED', 'one peer alone sends too many messages')
    }
    const refuse = (thrown: unknown) => {
      const { code, message } = toDragonflyError(thrown)
      socket.send(encodeSupernodeMessage({ type: 'error', taskId: '', code, message }))
      log.warn({ peer: socket.remoteHost, cause: message }, 'channel refused')
      socket.close()
    }
    const endNameless = this.#nameless.add(socket.remoteHost, refuse)
    return {
      onMessage: encoded => {
        try {
          pay(1 + encoded.length / BYTES_PER_MESSAGE)
          const message = decodePeerMessage(encoded)
          if (message.type === 'announce') pay(ANNOUNCE_COST)
          if (session) this.#pass(session, message)
          else {
            session = this.#greet(message, socket)
            endNameless()
          }
        } catch (thrown) {
          refuse(thrown)
        }
      },
      onRoundTrip: milliseconds => {
        if (session) hosts.setRoundTrip(session.host, milliseconds)
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
    const { hosts, supernodeId, piecesAddressFor } = this.#options
    this.#sessions.set(session.host, session)
    hosts.add(session.host, Math.min(Math.max(message.uploadSlots, 1), PEER_SLOTS_MAX))
    session.send({
      type: 'welcome',
      version: PROTOCOL_VERSION,
      supernodeId,
      address: piecesAddressFor(socket),
    })
    return session
  }

  #pass(session: Session, message: PeerMessage): void {
    if (message.type === 'hello') throw new DragonflyError('PROTOCOL_INVALID', 'a channel has one hello')
    this.#options.onMessage(session, message)
  }

  #forget(session: Session): void {
    session.end()
    this.#sessions.delete(session.host)
    this.#options.onGone(session)
    this.#options.hosts.remove(session.host)
  }
}
