import type { Socket } from 'node:net'
import { assert } from '../core/assert.ts'
import type { Clock } from '../core/clock.ts'
import { toDragonflyError } from '../core/error.ts'
import {
  BodyDecoder,
  findHeadEnd,
  framingOf,
  HEAD_BYTES_MAX,
  parseResponseHead,
  type ResponseHead,
} from '../wire/http1.ts'
import type { Http1Target } from './http1-target.ts'
import { openSocket } from './open-socket.ts'
import { openTunnel } from './proxy-tunnel.ts'
import { orProtocolError, TransportError, toTransportError } from './transport-error.ts'

/**
 * One client connection that speaks HTTP/1.1 for bulk transfer. The caller pulls payload into its own buffer, into which the kernel reads
 * directly where much is to come; all else lands in one buffer per connection. No buffer is made per read, and a caller that does not
 * pull stops the socket (back-pressure). Requests may be pipelined: send several, then read head and body of each in order.
 */

export type Http1Timeouts = {
  /** Name look-up, TCP and TLS together, by way of a proxy too. */
  readonly connectMs: number
  /** From the request to the end of the response's head. */
  readonly headMs: number
  /** Between two reads of the body. */
  readonly idleMs: number
}

const READ_BUFFER_BYTES = 128 * 1024
const TLS_RECORD_BYTES = 16 * 1024
const NEVER = Number.POSITIVE_INFINITY
const LATE = Number.NEGATIVE_INFINITY

/** What one `readBody` has so far. */
type Target = {
  readonly into: Uint8Array
  filledBytes: number
  readonly flushAtMs: number
  readonly onBytes?: (bytes: Uint8Array) => void
}

/** Bytes that trickle in are passed on after this long. */
const FLUSH_MS = 100

export class Http1Connection {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #timeouts: Http1Timeouts
  /** Where the kernel's bytes land unless they go straight into the caller's buffer. */
  readonly #landing: Uint8Array
  readonly #isTls: boolean
  /** Where those lie that nobody has read yet, from `#start` to `#end`. */
  #buffer: Uint8Array
  #start = 0
  #end = 0
  #receivedBytes = 0
  #isPaused = false
  #failure: TransportError | null = null
  #hasEnded = false
  #wake: (() => void) | null = null
  /** Where payload goes while somebody waits for it. */
  #target: Target | null = null
  /** Of the wait in progress. */
  #deadlineMs = NEVER
  #watchDueMs = NEVER
  #cancelWatch = () => {}
  #decoder: BodyDecoder | null = null
  #isKeepAlive = true

  private constructor(
    socket: Socket,
    landing: Uint8Array,
    options: { clock: Clock; timeouts: Http1Timeouts; isTls: boolean },
  ) {
    this.#socket = socket
    this.#landing = landing
    this.#isTls = options.isTls
    this.#buffer = options.isTls ? Buffer.allocUnsafeSlow(READ_BUFFER_BYTES) : landing
    this.#clock = options.clock
    this.#timeouts = options.timeouts
  }

  /** @throws TransportError unreachable, timeout or tls */
  static async connect(
    target: Http1Target,
    options: { clock: Clock; timeouts: Http1Timeouts; signal?: AbortSignal },
  ): Promise<Http1Connection> {
    const landing = Buffer.allocUnsafeSlow(target.tls ? TLS_RECORD_BYTES : READ_BUFFER_BYTES)
    let connection: Http1Connection | null = null
    const onread = {
      buffer: () => connection?.nextBuffer() ?? landing,
      callback: (bytesRead: number, buffer: Uint8Array) => connection?.onRead(bytesRead, buffer) ?? true,
    }
    const { clock, timeouts, signal } = options
    const deadlineMs = clock.now() + timeouts.connectMs
    const proxy = target.tls?.tunnel ?? null
    const tunnel =
      proxy && (await openTunnel(proxy, target, { clock, connectMs: timeouts.connectMs, signal }))
    const socket = openSocket(target, onread, tunnel)
    connection = new Http1Connection(socket, landing, { ...options, isTls: target.tls !== null })
    socket.setNoDelay(true)
    socket.on('error', error => connection.onFailure(toTransportError(error)))
    socket.on('end', () => connection.onEnd())
    socket.on('close', () => connection.onEnd())
    await connection.#whenConnected(target.tls ? 'secureConnect' : 'connect', deadlineMs, signal)
    socket.resume()
    return connection
  }

  /** Whether another request may be sent once the present body is read. */
  get isReusable(): boolean {
    return this.#isKeepAlive && !this.#hasEnded && this.#failure === null
  }

  get #hasStopped(): boolean {
    return this.#hasEnded || this.#failure !== null
  }

  /** Bytes received so far, and how many of them nobody has read yet. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  get unreadBytes(): number {
    return this.#end - this.#start
  }

  /** Queues the bytes of a request; failures surface in `readHead`. */
  send(request: string): void {
    this.#socket.write(request, 'latin1')
  }

  /**
   * Reads the next final response's head; interim responses (1xx) are passed over.
   * @throws TransportError
   */
  async readHead(method: 'GET' | 'HEAD'): Promise<ResponseHead> {
    assert(this.#decoder === null || this.#decoder.isDone, 'the previous body was read to its end')
    const deadline = this.#clock.now() + this.#timeouts.headMs
    for (;;) {
      const head = await this.#readOneHead(deadline)
      if (head.status < 200) continue
      this.#isKeepAlive = head.isKeepAlive
      this.#decoder = new BodyDecoder(orProtocolError(() => framingOf(head, method)))
      return head
    }
  }

  /**
   * Fills the front of `into` with payload and returns how many bytes: all of it if they keep coming, fewer where the body ends or they
   * come slowly, 0 when the body is complete. `onBytes` sees them as they come and must not throw. After a return with fewer, `into`
   * goes on belonging to the connection until the body has ended or `destroy` was called: the kernel may write what comes next there.
   * @throws TransportError closed (before the announced end), timeout, protocol; the connection is then destroyed
   */
  async readBody(into: Uint8Array, onBytes?: Target['onBytes']): Promise<number> {
    const decoder = this.#decoder
    assert(decoder !== null && into.length > 0, 'a head was read and there is room')
    try {
      const flushAtMs = this.#clock.now() + FLUSH_MS
      return await this.#fill(decoder, { into, filledBytes: 0, flushAtMs, onBytes })
    } catch (thrown) {
      this.destroy()
      throw thrown
    }
  }

  async #fill(decoder: BodyDecoder, target: Target): Promise<number> {
    orProtocolError(() => this.#drain(decoder, target))
    while (target.filledBytes < target.into.length && !decoder.isDone) {
      if (target.filledBytes > 0 && (this.#hasStopped || this.#clock.now() >= target.flushAtMs)) break
      this.#target = target
      const isAlive = await this.#wait(this.#timeouts.idleMs).finally(() => {
        this.#target = null
      })
      orProtocolError(() => this.#drain(decoder, target))
      if (isAlive || target.filledBytes > 0) continue
      if (decoder.mayEndHere) return 0
      throw new TransportError('closed', 'the connection closed before the end of the body')
    }
    return target.filledBytes
  }

  /** Whether the body in progress has been read to its end. */
  get isBodyDone(): boolean {
    return this.#decoder?.isDone ?? true
  }

  destroy(): void {
    this.#hasEnded = true
    this.#cancelWatch()
    this.#socket.destroy()
    this.#wakeUp()
  }

  /** The socket's read callback; false stops reading until the buffer is consumed. */
  onRead(bytesRead: number, buffer: Uint8Array): boolean {
    if (this.#isTls) this.#append(bytesRead)
    else {
      assert(this.#start === this.#end, 'a stopped socket does not read')
      this.#buffer = buffer
      this.#start = 0
      this.#end = bytesRead
    }
    this.#receivedBytes += bytesRead
    const isWanted =
      this.#target !== null && this.#decoder !== null && this.#feed(this.#decoder, this.#target)
    if (!isWanted) {
      this.#target = null
      this.#wakeUp()
    }
    this.#isPaused = this.#start < this.#end
    return !this.#isPaused
  }

  /** Where the socket's next bytes go, asked after each read: payload that somebody waits for goes to its place without a copy. */
  nextBuffer(): Uint8Array {
    if (this.#isTls || !this.#target || !this.#decoder) return this.#landing
    const { into, filledBytes } = this.#target
    const roomBytes = Math.min(into.length - filledBytes, this.#decoder.payloadAheadBytes)
    // What little is left comes together with what follows it.
    if (roomBytes < this.#landing.length) return this.#landing
    return into.subarray(filledBytes, filledBytes + roomBytes)
  }

  /** Passes fresh bytes on without waking the reader; false when the reader should look. */
  #feed(decoder: BodyDecoder, target: Target): boolean {
    const now = this.#clock.now()
    try {
      this.#drain(decoder, target)
    } catch (thrown) {
      this.#failure ??= new TransportError('protocol', toDragonflyError(thrown).message, { cause: thrown })
      return false
    }
    const isPartial = target.filledBytes > 0
    this.#deadlineMs = isPartial ? target.flushAtMs : now + this.#timeouts.idleMs
    if (this.#deadlineMs < this.#watchDueMs) this.#watch(this.#deadlineMs - now)
    return target.filledBytes < target.into.length && !decoder.isDone && now < target.flushAtMs
  }

  /** Moves payload from the buffer into the target until one of them has no more. */
  #drain(decoder: BodyDecoder, target: Target): void {
    const { into, onBytes } = target
    while (this.#start < this.#end && target.filledBytes < into.length && !decoder.isDone) {
      decoder.step(this.#buffer, this.#start, this.#end, into.length - target.filledBytes)
      const { payloadStart, payloadEnd, next } = decoder
      if (payloadEnd > payloadStart) {
        const payload = this.#buffer.subarray(payloadStart, payloadEnd)
        if (!isSameMemory(payload, into, target.filledBytes)) into.set(payload, target.filledBytes)
        target.filledBytes += payload.length
        onBytes?.(payload)
      }
      this.#start = next
    }
  }

  /** A stopped TLS socket still hands out the records that it has read, each into the same memory: they are moved out of it at once. */
  #append(bytesRead: number): void {
    if (this.#start === this.#end) this.#start = this.#end = 0
    if (this.#end + bytesRead > this.#buffer.length) {
      const unread = this.#buffer.subarray(this.#start, this.#end)
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length, 2 * (unread.length + bytesRead)))
      larger.set(unread)
      this.#buffer = larger
      this.#end -= this.#start
      this.#start = 0
    }
    this.#buffer.set(this.#landing.subarray(0, bytesRead), this.#end)
    this.#end += bytesRead
  }

  onFailure(failure: TransportError): void {
    this.#failure ??= failure
    this.#wakeUp()
  }

  onEnd(): void {
    this.#hasEnded = true
    this.#cancelWatch()
    this.#wakeUp()
  }

  async #readOneHead(deadline: number): Promise<ResponseHead> {
    let collected: Uint8Array | null = null
    for (;;) {
      if (this.#start < this.#end) {
        const fresh = this.#buffer.subarray(this.#start, this.#end)
        const seen = collected?.length ?? 0
        const bytes: Uint8Array = collected ? Buffer.concat([collected, fresh]) : fresh
        const headEnd = findHeadEnd(bytes, seen, bytes.length)
        if ((headEnd >= 0 ? headEnd : bytes.length) > HEAD_BYTES_MAX) {
          throw new TransportError('protocol', 'the response head is too long')
        }
        if (headEnd >= 0) {
          const head = orProtocolError(() => parseResponseHead(bytes.subarray(0, headEnd)))
          this.#start += headEnd - seen
          return head
        }
        collected = Buffer.from(bytes)
        this.#start = this.#end
      }
      const remainingMs = deadline - this.#clock.now()
      if (!(await this.#wait(remainingMs))) {
        throw new TransportError('closed', 'the connection closed before a response')
      }
    }
  }

  /** Waits until there is something to look at; false means that the connection has ended. */
  async #wait(timeoutMs: number): Promise<boolean> {
    if (this.#start < this.#end) return true
    if (this.#failure) throw this.#failure
    if (this.#hasEnded) return false
    if (this.#isPaused) {
      this.#isPaused = false
      this.#socket.resume()
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    this.#deadlineMs = this.#clock.now() + timeoutMs
    if (this.#deadlineMs < this.#watchDueMs) this.#watch(timeoutMs)
    const receivedBefore = this.#receivedBytes
    await promise
    const isLate = this.#deadlineMs === LATE
    this.#deadlineMs = NEVER
    if (this.#receivedBytes > receivedBefore) return true
    if (this.#failure) throw this.#failure
    if (isLate) throw new TransportError('timeout', `nothing was received for ${Math.round(timeoutMs)} ms`)
    return false
  }

  /** One timer serves many waits: it looks again later as long as the present wait is in time. */
  #watch(delayMs: number): void {
    this.#cancelWatch()
    this.#watchDueMs = this.#clock.now() + delayMs
    this.#cancelWatch = this.#clock.schedule(Math.max(0, delayMs), () => {
      this.#watchDueMs = NEVER
      if (this.#deadlineMs === NEVER) return
      const remainingMs = this.#deadlineMs - this.#clock.now()
      if (remainingMs > 0) return this.#watch(remainingMs)
      if (!this.#target?.filledBytes) this.#deadlineMs = LATE
      this.#wakeUp()
    })
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  async #whenConnected(
    event: 'connect' | 'secureConnect',
    deadlineMs: number,
    signal?: AbortSignal,
  ): Promise<void> {
    let isConnected = false
    const onConnect = () => {
      isConnected = true
      this.#wakeUp()
    }
    const onAbort = () => this.destroy()
    this.#socket.once(event, onConnect)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    const cancel = this.#clock.schedule(Math.max(0, deadlineMs - this.#clock.now()), () => {
      this.onFailure(new TransportError('unreachable', `no connection within ${this.#timeouts.connectMs} ms`))
    })
    if (!isConnected && !this.#failure && !this.#hasEnded) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    cancel()
    signal?.removeEventListener('abort', onAbort)
    if (isConnected && !this.#failure) return
    this.#socket.destroy()
    throw this.#failure ?? new TransportError('closed', 'the connection closed before it was established')
  }
}

/** Whether the bytes are those of `into` from `offset` on, because the kernel has put them there. */
function isSameMemory(bytes: Uint8Array, into: Uint8Array, offset: number): boolean {
  return bytes.buffer === into.buffer && bytes.byteOffset === into.byteOffset + offset
}
