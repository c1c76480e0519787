import { assert } from '../core/assert.ts'
import { type ByteRange, formatRangeHeader } from '../core/byte-range.ts'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import type { TaskId } from '../core/task-id.ts'
import type { ResponseHead } from '../wire/http1.ts'
import { type HeldAnswer, type PieceRoute, piecePath } from '../wire/piece-routes.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { Http1Connection } from './http1-connection.ts'
import { checkPieceHead, type PieceHash, receiveBytes, receiveHeld, toSourceError } from './piece-answer.ts'
import type { Limiter } from './rate-limiter.ts'
import type { SourceRequest } from './source-connection.ts'
import { type DispatcherOptions, SourceDispatcher } from './source-dispatcher.ts'

type HeldRequest = {
  readonly host: string
  readonly port: number
  readonly taskId: TaskId
  readonly token: string
  readonly signal: AbortSignal
}

export type PieceRequest = HeldRequest & {
  /** Not empty. */
  readonly range: ByteRange
  readonly buffers: BufferPool
  /** What the bytes count against. */
  readonly limiter: Limiter | null
  /** Called with the memory where the bytes are about to come, once for each time that they begin to. */
  hash(piece: Uint8Array): PieceHash
  /** Told as the bytes come in. */
  onBytes?(bytes: number): void
}

export type FetchedPiece = {
  /** Of the pool; the caller releases it. */
  readonly buffer: Uint8Array
  /** The bytes asked for, within `buffer`. */
  readonly bytes: Uint8Array
  /** 32 bytes, as `hash` gives them. */
  readonly digest: Uint8Array
  /** That has been shown `bytes`. */
  readonly hash: PieceHash
  /** From when it was the first of its connection. */
  readonly elapsedMs: number
}

type Receive<T> = (head: ResponseHead, connection: Http1Connection, startedMs: number) => Promise<T>

/**
 * Fetches pieces from sources over kept-alive connections. Nothing received is trusted: the caller compares the digest.
 *
 * Failures are DragonflyErrors: SOURCE_GONE, SOURCE_SLOW, SOURCE_BUSY, PIECE_NOT_HELD, TOKEN_INVALID, PROTOCOL_INVALID, CANCELLED.
 */
export class PieceClient {
  readonly #clock: Clock
  readonly #dispatcher: SourceDispatcher

  constructor(options: DispatcherOptions) {
    this.#clock = options.clock
    this.#dispatcher = new SourceDispatcher(options)
  }

  get connectionCount(): number {
    return this.#dispatcher.connectionCount
  }

  /** Holds no buffer until the source has begun to answer, and none after a failure. */
  fetch(request: PieceRequest): Promise<FetchedPiece> {
    const { range, buffers, limiter, signal, onBytes } = request
    const lengthBytes = range.end - range.start
    assert(lengthBytes > 0, 'the range is not empty')
    // A limited task reads as slowly as it must, and nobody else's piece shall be behind its.
    const lane = limiter?.isLimited ? request.taskId : ''
    return this.#send(
      { ...request, lane },
      { kind: 'content', range },
      async (head, connection, startedMs) => {
        checkPieceHead(head, range)
        const buffer = await buffers.acquire(lengthBytes, signal)
        try {
          const bytes = buffer.subarray(0, lengthBytes)
          const hash = request.hash(bytes)
          await receiveBytes(connection, bytes, { hash, limiter, signal, onBytes })
          const elapsedMs = this.#clock.now() - startedMs
          return { buffer, bytes, digest: hash.digest(), hash, elapsedMs }
        } catch (thrown) {
          buffers.release(buffer)
          throw thrown
        }
      },
    )
  }

  /** What the source says that it holds. */
  fetchHeld(request: HeldRequest): Promise<HeldAnswer> {
    return this.#send({ ...request, lane: '' }, { kind: 'held' }, receiveHeld)
  }

  /** Cancels what is in progress. */
  close(): void {
    this.#dispatcher.close()
  }

  async #send<T>(
    request: HeldRequest & { lane: string },
    want: { kind: PieceRoute['kind']; range?: ByteRange },
    receive: Receive<T>,
  ): Promise<T> {
    const { signal } = request
    if (signal.aborted) throw cancelled(signal.reason)
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const sent: SourceRequest = {
      text: requestText(request, want),
      isCancelled: false,
      moves: 0,
      fail: cause =>
        reject(sent.isCancelled || cause === null ? cancelled(signal.reason) : toSourceError(cause)),
      receive: async (head, connection, startedMs) => {
        try {
          const received = await receive(head, connection, startedMs)
          return { kind: 'taken', settle: () => resolve(received) }
        } catch (thrown) {
          sent.fail(thrown)
          return { kind: thrown instanceof DragonflyError ? 'refused' : 'failed' }
        }
      },
    }
    const onAbort = () => this.#dispatcher.cancel(request, sent)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      this.#dispatcher.submit(request, sent)
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}

function requestText(request: HeldRequest, want: { kind: PieceRoute['kind']; range?: ByteRange }): string {
  const { host, port, taskId, token } = request
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const range = want.range ? `Range: ${formatRangeHeader(want.range.start, want.range.end)}\r\n` : ''
  const path = piecePath({ kind: want.kind, taskId })
  return `GET ${path} HTTP/1.1\r\nHost: ${authority}\r\nAuthorization: Bearer ${token}\r\n${range}\r\n`
}

function cancelled(reason: unknown): DragonflyError {
  return new DragonflyError('CANCELLED', 'the fetch was cancelled', { cause: reason })
}
