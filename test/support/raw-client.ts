import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { findHeadEnd, framingOf, parseResponseHead } from '../../src/wire/http1.ts'

export type RawAnswer = { status: number; headers: ReadonlyMap<string, string>; body: Buffer }

/** Sends requests as text and takes the answers apart: a second opinion on what a server says. */
export class RawClient {
  readonly socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #wake: (() => void) | null = null

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('close', () => this.#wake?.())
    socket.on('data', chunk => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake?.()
    })
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  send(text: string): this {
    this.socket.write(text)
    return this
  }

  async answer(method: 'GET' | 'HEAD' = 'GET'): Promise<RawAnswer> {
    const head = parseResponseHead(await this.#take(bytes => findHeadEnd(bytes, 0, bytes.length)))
    const framing = framingOf(head, method)
    if (framing.kind === 'chunked') throw new Error('the body is chunked')
    if (framing.kind === 'close') await this.closed()
    const body = await this.#take(bytes => {
      const length = framing.kind === 'length' ? framing.lengthBytes : bytes.length
      return bytes.length >= length ? length : -1
    })
    return { status: head.status, headers: head.headers, body }
  }

  /** Resolves when the other side has closed. */
  async closed(): Promise<void> {
    if (!this.socket.closed) await once(this.socket, 'close')
  }

  async #take(lengthIn: (bytes: Buffer) => number): Promise<Buffer> {
    for (;;) {
      const length = lengthIn(this.#received)
      if (length >= 0) {
        const taken = this.#received.subarray(0, length)
        this.#received = this.#received.subarray(length)
        return taken
      }
      if (this.socket.closed) throw new Error('the connection closed')
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }
}
