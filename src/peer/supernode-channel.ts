import { assert } from '../core/assert.ts'
import type { Clock } from '../core/clock.ts'
import { DragonflyError, isErrorCode, toDragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort, isHostPort, parseHostPort } from '../core/host-port.ts'
import type { TaskId } from '../core/task-id.ts'
import { type ControlSocket, connectControl } from '../net/control-socket.ts'
import type { Log } from '../ops/log.ts'
import type { PieceFrom, SourceId } from '../transfer/events.ts'
import {
  decodeSupernodeMessage,
  encodePeerMessage,
  type PeerMessage,
  PROTOCOL_VERSION,
  type SupernodeMessage,
  type SupernodeMessages,
} from '../wire/control.ts'
import { SourceNumbers } from './source-numbers.ts'
import type { TaskLinkHandler } from './task-link.ts'

/** How this peer presents itself. */
export type PeerIdentity = {
  readonly peerId: string
  readonly hostName: string
  /** Where others reach the upload server; empty lets the supernode use the address it sees. */
  readonly address: string
  readonly port: number
  readonly uploadSlots: number
  /** Null where nobody has said where it is. */
  readonly zone: string | null
}

const CONNECT_MS = 3_000

type Greeting = { resolve: () => void; reject: (error: DragonflyError) => void }

/** One connection to one supernode, shared by all tasks that meet there. It lives once; a new connection is a new channel. */
export class SupernodeChannel {
  readonly address: HostPort
  readonly #log: Log
  readonly #tasks = new Map<TaskId, { handler: TaskLinkHandler; leave: () => void }>()
  readonly #sources = new SourceNumbers()
  readonly #addresses = new Map<SourceId, HostPort>()
  readonly #whenClosed: (() => void)[] = []
  #socket: ControlSocket | null = null
  #greeting: Greeting | null = null
  #seed: SourceId = ''
  #isClosed = false

  private constructor(address: HostPort, log: Log) {
    this.address = address
    this.#log = log
  }

  /** @throws DragonflyError SUPERNODE_UNREACHABLE, PROTOCOL_VERSION, PROTOCOL_INVALID */
  static async open(
    address: HostPort,
    options: { identity: PeerIdentity; clock: Clock; log: Log; signal: AbortSignal },
  ): Promise<SupernodeChannel> {
    const { clock, identity, log, signal } = options
    const channel = new SupernodeChannel(address, log)
    const greeted = new Promise<void>((resolve, reject) => {
      channel.#greeting = { resolve, reject }
    })
    greeted.catch(() => {})
    const late = new AbortController()
    const giveUp = () => {
      const said = `${formatHostPort(address)} does not greet back`
      channel.#fail(new DragonflyError('SUPERNODE_UNREACHABLE', said))
      late.abort()
    }
    const cancel = clock.schedule(CONNECT_MS, giveUp)
    signal.addEventListener('abort', giveUp)
    try {
      channel.#socket = await connectControl(address, {
        clock,
        connectMs: CONNECT_MS,
        handler: { onMessage: message => channel.#onMessage(message), onClose: () => channel.#onClose() },
        signal: AbortSignal.any([signal, late.signal]),
      })
      channel.#send({ type: 'hello', version: PROTOCOL_VERSION, ...identity })
      await greeted
      return channel
    } finally {
      cancel()
      signal.removeEventListener('abort', giveUp)
    }
  }

  /**
   * Messages about the task go to this handler from now on. Resolves when the channel has closed, or the task was detached. One run of a
   * task at a time has its place on a channel.
   */
  async attach(taskId: TaskId, handler: TaskLinkHandler): Promise<void> {
    assert(!this.#tasks.has(taskId), 'a task has one run on a channel')
    if (this.#isClosed) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#tasks.set(taskId, { handler, leave: resolve })
    handler.onReady(this.#seed)
    await promise
  }

  /** Leaves the task. */
  detach(taskId: TaskId): void {
    this.#tasks.get(taskId)?.leave()
    if (this.#tasks.delete(taskId)) this.#send({ type: 'leave', taskId })
  }

  send(message: PeerMessage): void {
    assert('taskId' in message, 'a task speaks about itself')
    if (this.#tasks.has(message.taskId)) this.#send(message)
  }

  numbersOf(source: SourceId): readonly number[] {
    return this.#sources.numbersOf(source)
  }

  addressOf(source: SourceId): HostPort | null {
    return this.#addresses.get(source) ?? null
  }

  closed(): Promise<void> {
    return new Promise(resolve => {
      if (this.#isClosed) resolve()
      else this.#whenClosed.push(resolve)
    })
  }

  close(): void {
    this.#socket?.close()
    this.#onClose()
  }

  #send(message: PeerMessage): void {
    this.#socket?.send(encodePeerMessage(message))
  }

  #fail(error: DragonflyError): void {
    this.#greeting?.reject(error)
    this.#greeting = null
    this.close()
  }

  #onClose(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const message = `${formatHostPort(this.address)} closed the channel`
    this.#greeting?.reject(new DragonflyError('SUPERNODE_UNREACHABLE', message))
    this.#greeting = null
    for (const resolve of this.#whenClosed.splice(0)) resolve()
    for (const { leave } of this.#tasks.values()) leave()
  }

  #onMessage(encoded: Uint8Array): void {
    try {
      this.#handle(decodeSupernodeMessage(encoded))
    } catch (thrown) {
      const error = toDragonflyError(thrown)
      this.#log.warn(
        { supernode: formatHostPort(this.address), code: error.code, cause: error.message },
        'bad message from supernode',
      )
      this.#fail(error)
    }
  }

  #handle(message: SupernodeMessage): void {
    if (message.type === 'welcome') return this.#onWelcome(message)
    if (message.type === 'error' && message.taskId === '') return this.#onRefused(errorIn(message))
    const handler = this.#tasks.get(message.taskId as TaskId)?.handler
    if (!handler) return
    switch (message.type) {
      case 'layout':
        return handler.onLayout(message)
      case 'digests':
        return handler.onDigests(message)
      case 'assign':
        this.#learnSources(message.sources)
        return handler.onAssigned(this.#pairs(message.pieces))
      case 'revoke':
        return handler.onRevoked(this.#pairs(message.pieces))
      case 'status':
        return handler.onStatus(message)
      case 'error': {
        const { code, message: cause } = errorIn(message)
        return handler.onError(code, cause)
      }
    }
  }

  #onRefused(error: DragonflyError): void {
    const { code, message } = error
    this.#log.warn({ supernode: formatHostPort(this.address), code, cause: message }, 'channel refused')
    this.#fail(error)
  }

  #onWelcome(message: SupernodeMessages['welcome']): void {
    if (message.version !== PROTOCOL_VERSION) {
      const said = `the supernode speaks version ${message.version} of the protocol, this peer ${PROTOCOL_VERSION}`
      throw new DragonflyError('PROTOCOL_VERSION', said)
    }
    this.#seed = this.#learnSource(0, parseHostPort(message.address, 8001))
    this.#greeting?.resolve()
    this.#greeting = null
  }

  #learnSources(triples: readonly string[]): void {
    for (let i = 0; i + 2 < triples.length; i += 3) {
      const number = Number(triples[i])
      const address = { host: triples[i + 1], port: Number(triples[i + 2]) }
      if (!Number.isSafeInteger(number) || !isHostPort(address)) {
        throw new DragonflyError('PROTOCOL_INVALID', 'the supernode named an impossible source')
      }
      this.#learnSource(number, address)
    }
  }

  #learnSource(number: number, address: HostPort): SourceId {
    const name = formatHostPort(address)
    this.#sources.name(number, name)
    this.#addresses.set(name, address)
    return name
  }

  #pairs(flat: readonly number[]): PieceFrom[] {
    const pairs: PieceFrom[] = []
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const source = this.#sources.sourceOf(flat[i + 1])
      if (source === undefined)
        throw new DragonflyError('PROTOCOL_INVALID', 'the supernode assigned an unnamed source')
      pairs.push({ piece: flat[i], source })
    }
    return pairs
  }
}

function errorIn(message: SupernodeMessages['error']): DragonflyError {
  return new DragonflyError(isErrorCode(message.code) ? message.code : 'SUPERNODE_FAILED', message.message)
}
