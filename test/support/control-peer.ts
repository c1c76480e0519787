import { createHash } from 'node:crypto'
import { WebSocket } from 'ws'
import type { Digest } from '../../src/core/digest.ts'
import { type TaskId, taskIdOf } from '../../src/core/task-id.ts'
import {
  decodeSupernodeMessage,
  encodePeerMessage,
  type PeerMessage,
  type PeerMessages,
  PROTOCOL_VERSION,
  type SupernodeMessage,
  type SupernodeMessages,
} from '../../src/wire/control.ts'

/** A peer that says what the test wants it to say, and keeps all that it is told. */
export class ControlPeer {
  readonly socket: WebSocket
  readonly received: SupernodeMessage[] = []
  /** The close frame's code, once there is one; 1006 for a cut connection. */
  closeCode: number | null = null
  readonly #watchers = new Set<() => void>()
  static readonly #all = new Set<ControlPeer>()

  private constructor(socket: WebSocket) {
    this.socket = socket
    ControlPeer.#all.add(this)
    const notify = () => {
      for (const look of [...this.#watchers]) look()
    }
    socket.on('error', () => {})
    socket.on('message', data => {
      this.received.push(decodeSupernodeMessage(data as Buffer))
      notify()
    })
    socket.on('close', code => {
      this.closeCode = code
      notify()
    })
  }

  /** Cuts all channels that a test has opened. */
  static endAll(): void {
    for (const peer of ControlPeer.#all) peer.socket.terminate()
    ControlPeer.#all.clear()
  }

  /** Resolves when the channel is open, or was refused. */
  static async connect(node: string, path = '/control'): Promise<ControlPeer> {
    const socket = new WebSocket(`ws://${node}${path}`, { perMessageDeflate: false })
    const peer = new ControlPeer(socket)
    await new Promise<void>(resolve => {
      socket.once('open', resolve)
      socket.once('close', () => resolve())
    })
    return peer
  }

  /** Has said hello and was welcomed. */
  static async greeted(node: string): Promise<ControlPeer> {
    const peer = await ControlPeer.connect(node)
    peer.send(hello())
    await peer.next('welcome')
    return peer
  }

  send(message: PeerMessage): this {
    this.socket.send(encodePeerMessage(message))
    return this
  }

  /** Announces, and resolves with what the supernode says to that. */
  async announce(
    message: PeerMessages['announce'],
  ): Promise<SupernodeMessages['layout'] | SupernodeMessages['error']> {
    const isAnswer = (said: SupernodeMessage) =>
      (said.type === 'layout' || said.type === 'error') && said.taskId === message.taskId
    const before = this.received.filter(isAnswer).length
    this.send(message)
    await this.until(() => this.received.filter(isAnswer).length > before)
    return this.received.filter(isAnswer)[before] as SupernodeMessages['layout']
  }

  async next<Type extends SupernodeMessage['type']>(type: Type): Promise<SupernodeMessages[Type]> {
    const find = () => this.received.find(message => message.type === type)
    await this.until(() => find() !== undefined)
    return find() as SupernodeMessages[Type]
  }

  async closed(): Promise<void> {
    await this.until(() => this.closeCode !== null)
  }

  async until(isReached: () => boolean): Promise<void> {
    if (isReached()) return
    await new Promise<void>(resolve => {
      const look = () => {
        if (!isReached()) return
        this.#watchers.delete(look)
        resolve()
      }
      this.#watchers.add(look)
    })
  }
}

export function hello(changes: Partial<PeerMessages['hello']> = {}): PeerMessages['hello'] {
  return {
    type: 'hello',
    version: PROTOCOL_VERSION,
    peerId: 'scripted',
    hostName: 'scripted',
    address: '127.0.0.9',
    port: 9,
    uploadSlots: 4,
    zone: null,
    ...changes,
  }
}

/** A genuine announce by somebody who holds nothing; `changes` are made after the task id was derived. */
export function announcement(
  wanted: { url: string; headers?: [string, string][]; digest?: Digest; range?: string },
  changes: Partial<PeerMessages['announce']> = {},
): PeerMessages['announce'] {
  const { url, headers = [], digest, range } = wanted
  return {
    type: 'announce',
    taskId: taskIdFor({ url, digest, range }),
    url,
    headers,
    tag: '',
    expectedDigest: digest ?? null,
    range: range ?? null,
    generation: null,
    lengthBytes: null,
    pieceLength: 0,
    lookAhead: null,
    isSeedOnly: null,
    via: null,
    readFrom: null,
    held: new Uint8Array(0),
    ...changes,
  }
}

export function taskIdFor(wanted: { url: string; digest?: Digest; range?: string }): TaskId {
  const { url, digest, range } = wanted
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
  return taskIdOf({ url, tag: '', expectedDigest: digest, range }, sha256)
}
