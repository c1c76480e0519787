import { createHash } from 'node:crypto'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Clock } from '../../src/core/clock.ts'
import { type Digest, digestOf } from '../../src/core/digest.ts'
import { systemClock } from '../../src/ops/system-clock.ts'
import { Answer } from './origin-answer.ts'
import { type Behaviour, USUAL } from './origin-behaviour.ts'
import { slicesOf } from './origin-content.ts'
import { type LoggedRequest, parseRequest } from './origin-request.ts'

/**
 * An awkward origin for tests: HTTP/1.1 on raw sockets, deterministic content of any length that is generated and never stored, and
 * every bad manner that an origin can have, chosen per path and changeable while the test runs.
 */
export type OriginServer = {
  /** `http://127.0.0.1:12345`, or https. */
  readonly url: string
  readonly port: number
  /** Body bytes that left the process, over all paths. */
  readonly bodyBytesSent: number
  /** Every request with a complete head, oldest first. */
  readonly requests: readonly LoggedRequest[]
  /** Requests that are being answered now, and the most there ever were at once. */
  readonly readers: number
  readonly readersMax: number
  /** Connections that are open now. */
  readonly connections: number
  /** Serves `behaviour` at `path` (which starts with a slash and has no query); a second call replaces the first. */
  serve(path: string, behaviour: Partial<Behaviour>): ServedFile
  requestCount(method?: string): number
  /** SHA-256 of the present content, as `expectedDigest` of a download. Not cached beyond the version. */
  contentSha256(path: string): Promise<Digest>
  /** The present content, or the part `start ≤ position < end` of it. */
  expectedBytes(path: string, start?: number, end?: number): Uint8Array
  /** Resolves when `isReached` holds; looked at whenever something was sent, requested or closed. Rejects after 20 s. */
  when(isReached: (origin: OriginServer) => boolean): Promise<void>
  close(): Promise<void>
}

export type ServedFile = {
  readonly url: string
  readonly path: string
  readonly bodyBytesSent: number
  readonly requests: readonly LoggedRequest[]
  readonly behaviour: Behaviour
  /** From the next request on; answers under way go on as they began. A new `seed` or `lengthBytes` is a new version: other bytes, other ETag. */
  set(patch: Partial<Behaviour>): void
}

export type OriginServerOptions = {
  /** Address to listen on. */
  host?: string
  /** Default: the system chooses. */
  port?: number
  tls?: { key: string; cert: string }
  clock?: Clock
}

export async function startOriginServer(options: OriginServerOptions = {}): Promise<OriginServer> {
  const server = new Service(options)
  await server.start()
  return server
}

const WHEN_MS = 20_000
const HEAD_BYTES_MAX = 64 * 1024

class Service implements OriginServer {
  readonly requests: LoggedRequest[] = []
  bodyBytesSent = 0
  readers = 0
  readersMax = 0
  readonly #host: string
  readonly #wantedPort: number
  readonly #scheme: 'http' | 'https'
  readonly #clock: Clock
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #files = new Map<string, File>()
  readonly #watchers = new Set<() => void>()

  constructor(options: OriginServerOptions) {
    this.#host = options.host ?? '127.0.0.1'
    this.#wantedPort = options.port ?? 0
    this.#clock = options.clock ?? systemClock
    this.#scheme = options.tls ? 'https' : 'http'
    const accept = (socket: Socket) => this.#accept(socket)
    this.#server = options.tls ? createTlsServer(options.tls, accept) : createTcpServer(accept)
    // A client that does not trust the certificate breaks the handshake off.
    this.#server.on('tlsClientError', () => {})
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#wantedPort, this.#host, () => resolve())
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    const host = this.#host.includes(':') ? `[${this.#host}]` : this.#host
    return `${this.#scheme}://${host}:${this.port}`
  }

  get connections(): number {
    return this.#sockets.size
  }

  serve(path: string, behaviour: Partial<Behaviour>): ServedFile {
    const file = new File(this.url + path, path, behaviour)
    this.#files.set(path, file)
    return file
  }

  requestCount(method?: string): number {
    return this.requests.filter(request => method === undefined || request.method === method).length
  }

  async contentSha256(path: string): Promise<Digest> {
    const { seed, lengthBytes } = this.#file(path).behaviour
    const hash = createHash('sha256')
    let sinceRest = 0
    for (const slice of slicesOf(seed, 0, lengthBytes)) {
      hash.update(slice)
      sinceRest += slice.length
      if (sinceRest < 64 * 1024 ** 2) continue
      sinceRest = 0
      await new Promise(resolve => setImmediate(resolve))
    }
    return digestOf(hash.digest())
  }

  expectedBytes(path: string, start = 0, end?: number): Uint8Array {
    const { seed, lengthBytes } = this.#file(path).behaviour
    return Buffer.concat([...slicesOf(seed, start, Math.min(end ?? lengthBytes, lengthBytes))])
  }

  when(isReached: (origin: OriginServer) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!isReached(this)) return
        finish()
        resolve()
      }
      const cancel = this.#clock.schedule(WHEN_MS, () => {
        finish()
        const { readers, connections, bodyBytesSent } = this
        const state = JSON.stringify({ readers, connections, bodyBytesSent, requests: this.requests.length })
        reject(new Error(`the origin never came to this: ${isReached}; it is at ${state}`))
      })
      const finish = () => {
        this.#watchers.delete(look)
        cancel()
      }
      this.#watchers.add(look)
      look()
    })
  }

  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #file(path: string): File {
    const file = this.#files.get(path)
    if (!file) throw new Error(`nothing is served at ${path}`)
    return file
  }

  #notify(): void {
    for (const look of [...this.#watchers]) look()
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    // Clients that cancel, reset or go away are what this server is for.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.#notify()
    })
    this.#converse(socket)
  }

  /** Answers request after request. The socket is always read, for only so does it notice that the client has closed. */
  #converse(socket: Socket): void {
    let pending = ''
    let isBusy = false
    const answerAll = async () => {
      isBusy = true
      for (let headEnd = pending.indexOf('\r\n\r\n'); headEnd >= 0; headEnd = pending.indexOf('\r\n\r\n')) {
        const request = parseRequest(pending.slice(0, headEnd), socket.remoteAddress ?? '')
        pending = pending.slice(headEnd + 4)
        if (!(await this.#handle(socket, request))) return
      }
      isBusy = false
    }
    socket.on('data', bytes => {
      pending += bytes.toString('latin1')
      if (pending.length > HEAD_BYTES_MAX) socket.destroy()
      else if (!isBusy) answerAll().catch(() => socket.destroy())
    })
  }

  /** Returns whether the connection can take another request. */
  async #handle(socket: Socket, request: LoggedRequest): Promise<boolean> {
    this.requests.push(request)
    const file = this.#files.get(request.path)
    file?.requests.push(request)
    this.readers++
    this.readersMax = Math.max(this.readersMax, this.readers)
    this.#notify()
    const onBody = (bytes: number) => {
      this.bodyBytesSent += bytes
      if (file) file.bodyBytesSent += bytes
      this.#notify()
    }
    try {
      return await new Answer({ socket, request, file: file ?? null, clock: this.#clock, onBody }).send()
    } finally {
      this.readers--
      this.#notify()
    }
  }
}

class File implements ServedFile {
  readonly url: string
  readonly path: string
  readonly requests: LoggedRequest[] = []
  bodyBytesSent = 0
  behaviour: Behaviour

  constructor(url: string, path: string, behaviour: Partial<Behaviour>) {
    this.url = url
    this.path = path
    this.behaviour = { ...USUAL, ...behaviour }
  }

  set(patch: Partial<Behaviour>): void {
    this.behaviour = { ...this.behaviour, ...patch }
  }

  /** Whether this request meets a behaviour that is limited to some requests; counts it. */
  spend(name: 'refusal' | 'bodyFault'): boolean {
    const limited = this.behaviour[name]
    if (limited === null) return false
    const times = limited.times ?? Infinity
    if (times > 0) this.set({ [name]: { ...limited, times: times - 1 } })
    return times > 0
  }
}
