import { DragonflyError, toDragonflyError } from '../core/error.ts'
import type { TaskId } from '../core/task-id.ts'
import type { ControlSocket } from '../net/control-socket.ts'
import type { HostId } from '../swarm/hosts.ts'
import type { Assignment } from '../swarm/task-swarm.ts'
import { encodeSupernodeMessage, type PeerMessages, type SupernodeMessage } from '../wire/control.ts'

/** One connected peer. */
export class Session {
  readonly host: HostId
  readonly hello: PeerMessages['hello']
  /** Where other peers reach its upload server. */
  readonly address: string
  readonly #socket: ControlSocket
  readonly #namedSources = new Set<HostId>()
  #isOpen = true

  constructor(host: HostId, hello: PeerMessages['hello'], socket: ControlSocket) {
    this.host = host
    this.hello = hello
    this.address = hello.address || socket.remoteHost
    this.#socket = socket
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  send(message: SupernodeMessage): void {
    if (this.#isOpen) this.#socket.send(encodeSupernodeMessage(message))
  }

  sendError(taskId: TaskId, thrown: unknown): void {
    const { code, message } = toDragonflyError(thrown)
    this.send({ type: 'error', taskId, code, message })
  }

  /** Sources are named once per channel. */
  assign(
    taskId: TaskId,
    assignments: readonly Assignment[],
    sessionOf: (host: HostId) => Session | undefined,
  ): void {
    const sources: string[] = []
    const pieces: number[] = []
    for (const { piece, source } of assignments) {
      if (source !== SEED_HOST && !this.#namedSources.has(source)) {
        const other = sessionOf(source)
        if (!other) throw new DragonflyError('INTERNAL', 'an assigned source is connected')
        sources.push(String(source), other.address, String(other.hello.port))
        this.#namedSources.add(source)
      }
      pieces.push(piece, source)
    }
    this.send({ type: 'assign', taskId, sources, pieces })
  }

  end(): void {
    this.#isOpen = false
  }
}

/** The supernode's own piece server, known to every peer from the welcome. */
export const SEED_HOST: HostId = 0
