import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type ByteRange, parseRangeHeader } from '../core/byte-range.ts'
import type { Clock } from '../core/clock.ts'
import { DragonflyError, ERROR_TABLE, toDragonflyError } from '../core/error.ts'
import { PIECE_COUNT_MAX, type PieceLayout } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'
import { encodeHeldAnswer, parsePiecePath } from '../wire/piece-routes.ts'
import { BLOCK_BYTES, blockBytesBeside, LARGE_BLOCK_BYTES } from './block-bytes.ts'
import { BufferPool } from './buffer-pool.ts'
import type { PieceCatalog, PieceContent } from './piece-content.ts'
import { sendRange } from './piece-upload.ts'
import type { Limiter } from './rate-limiter.ts'
import { isTokenOf } from './task-token.ts'

export type PieceDeskOptions = {
  readonly catalog: PieceCatalog
  readonly clock: Clock
  /** Shared by all uploads. */
  readonly limiter: Limiter | null
  /** Bodies sent at the same time; who comes later is told to come again. */
  readonly maxUploads: number
  onSent?(taskId: TaskId, bytes: number): void
}

/** What is known of one client connection. */
type Visitor = { readonly gone: AbortController; pendingRequests: number }

type Upload = {
  readonly taskId: TaskId
  readonly content: PieceContent
  readonly range: ByteRange
  readonly isPartial: boolean
  readonly gone: AbortSignal
}

/** Answers requests for pieces: who may have them, what is held, how many are served at once. */
export class PieceDesk {
  readonly #options: PieceDeskOptions
  readonly #blocks: BufferPool
  readonly #visitors = new WeakMap<Socket, Visitor>()
  readonly #uploads = new Set<Promise<void>>()
  #cancelTrim: (() => void) | null = null

  constructor(options: PieceDeskOptions) {
    this.#options = options
    // Two for each upload, so that all that hold one get the other.
    const { maxUploads } = options
    this.#blocks = new BufferPool(
      2 * (maxUploads * BLOCK_BYTES + this.#fewUploads * (LARGE_BLOCK_BYTES - BLOCK_BYTES)),
    )
  }

  /** So many at once may use large blocks. */
  get #fewUploads(): number {
    return Math.ceil(this.#options.maxUploads / 16)
  }

  get activeUploads(): number {
    return this.#uploads.size
  }

  /** To be called when every connection is closed. */
  async close(): Promise<void> {
    await Promise.all(this.#uploads)
    this.#cancelTrim?.()
    this.#blocks.trim()
  }

  welcome(socket: Socket): void {
    const visitor: Visitor = { gone: new AbortController(), pendingRequests: 0 }
    this.#visitors.set(socket, visitor)
    socket.once('close', () => visitor.gone.abort())
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.sendDate = false
    const visitor = this.#visitors.get(request.socket)
    if (!visitor || visitor.pendingRequests >= PIPELINE_MAX) {
      request.socket.destroy()
      return
    }
    visitor.pendingRequests++
    try {
      await this.#route(request, response, visitor.gone.signal)
    } catch (thrown) {
      // Part of a body may be out: only a broken connection says that the rest does not come.
      if (response.headersSent || visitor.gone.signal.aborted) request.socket.destroy()
      else refuse(response, toDragonflyError(thrown))
    } finally {
      visitor.pendingRequests--
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, gone: AbortSignal): Promise<void> {
    const { method, headers } = request
    const route = parsePiecePath(request.url ?? '')
    if (!route) throw new DragonflyError('TASK_UNKNOWN', 'there is nothing at this path')
    if (method !== 'GET' && method !== 'HEAD') {
      throw new DragonflyError('PROTOCOL_INVALID', 'only GET and HEAD are served')
    }
    const task = this.#options.catalog.find(route.taskId)
    if (!isTokenOf(headers.authorization, task?.token ?? null) || !task) {
      throw new DragonflyError('TOKEN_INVALID', 'the token is not that of the task')
    }
    if (route.kind === 'held') {
      const { content } = task
      const held = encodeHeldAnswer({ generation: content.generation, ...content.layout, held: content.held })
      return sendJson(response, 200, held)
    }
    if (!(await isOnTurn(response, gone))) return
    await this.#sendContent(request, response, { taskId: route.taskId, content: task.content, gone })
  }

  /** Nothing is awaited between the check of what is held and the lease on it. */
  async #sendContent(
    request: IncomingMessage,
    response: ServerResponse,
    task: { taskId: TaskId; content: PieceContent; gone: AbortSignal },
  ): Promise<void> {
    const { content } = task
    const rangeHeader = request.headers.range
    const range = rangeIn(content.layout, rangeHeader)
    if (!range) return refuseRange(response, content.layout)
    if (!content.holdsRange(range.start, range.end)) {
      throw new DragonflyError('PIECE_NOT_HELD', 'the range is not wholly held')
    }
    const upload = { ...task, range, isPartial: rangeHeader !== undefined }
    if (request.method === 'HEAD' || range.start === range.end) {
      writeContentHead(response, upload)
      response.end()
      return
    }
    if (this.#uploads.size >= this.#options.maxUploads) {
      throw new DragonflyError('SOURCE_BUSY', 'all upload slots are taken')
    }
    await this.#track(this.#upload(response, upload))
  }

  async #upload(response: ServerResponse, upload: Upload): Promise<void> {
    const { content, range, gone, taskId } = upload
    const letGo = content.retain()
    const onIdle = () => {
      // Waiting for the disk or the rate limit is not the client's fault.
      if (response.writableLength > 0) response.destroy()
    }
    response.on('timeout', onIdle)
    try {
      writeContentHead(response, upload)
      await sendRange({
        response,
        range,
        read: (into, position) => content.read(into, position),
        blocks: this.#blocks,
        blockBytes: blockBytesBeside(this.#uploads.size, this.#fewUploads),
        limiter: this.#options.limiter,
        signal: gone,
        onSent: bytes => this.#options.onSent?.(taskId, bytes),
      })
      response.end()
    } finally {
      response.off('timeout', onIdle)
      letGo()
    }
  }

  /** Counts an upload until its last buffer is back. */
  async #track(upload: Promise<void>): Promise<void> {
    const settled = upload.catch(() => {})
    this.#cancelTrim?.()
    this.#cancelTrim = null
    this.#uploads.add(settled)
    try {
      await upload
    } finally {
      this.#uploads.delete(settled)
      if (this.#uploads.size === 0) {
        this.#cancelTrim = this.#options.clock.schedule(QUIET_MS, () => this.#blocks.trim())
      }
    }
  }
}

/** Whether the answers to earlier requests of the connection are through; false if it closed before. */
function isOnTurn(response: ServerResponse, gone: AbortSignal): Promise<boolean> | boolean {
  if (gone.aborted) return false
  if (response.socket !== null) return true
  return new Promise(resolve => {
    const onGone = () => resolve(false)
    gone.addEventListener('abort', onGone, { once: true })
    response.once('socket', () => {
      gone.removeEventListener('abort', onGone)
      resolve(true)
    })
  })
}

/** The whole where no range is asked for; null where the range cannot be satisfied (RFC 9110, section 14.2). */
function rangeIn(layout: PieceLayout, header: string | undefined): ByteRange | null {
  const { lengthBytes } = layout
  if (header === undefined) {
    if (lengthBytes === null)
      throw new DragonflyError('PIECE_NOT_HELD', 'the length of the task is not known yet')
    return { start: 0, end: lengthBytes }
  }
  const range = parseRangeHeader(header)
  if (!range) return null
  if (lengthBytes === null) return range.end <= layout.pieceLength * PIECE_COUNT_MAX ? range : null
  return range.start < lengthBytes ? { start: range.start, end: Math.min(range.end, lengthBytes) } : null
}

function writeContentHead(response: ServerResponse, upload: Omit<Upload, 'gone'>): void {
  const { range, content } = upload
  const headers: Record<string, string | number> = {
    'Content-Type': 'application/octet-stream',
    'Content-Length': range.end - range.start,
    'Accept-Ranges': 'bytes',
  }
  if (upload.isPartial) {
    headers['Content-Range'] = `bytes ${range.start}-${range.end - 1}/${content.layout.lengthBytes ?? '*'}`
  }
  response.writeHead(upload.isPartial ? 206 : 200, headers)
}

function refuse(response: ServerResponse, error: DragonflyError): void {
  if (error.code === 'SOURCE_BUSY') response.setHeader('Retry-After', '1')
  sendJson(response, ERROR_TABLE[error.code].httpStatus, errorJson(error.code, error.message))
}

function refuseRange(response: ServerResponse, layout: PieceLayout): void {
  response.setHeader('Content-Range', `bytes */${layout.lengthBytes ?? '*'}`)
  sendJson(response, 416, errorJson('PROTOCOL_INVALID', 'the range is not one within the task'))
}

function errorJson(code: string, message: string): string {
  return JSON.stringify({ code, message })
}

function sendJson(response: ServerResponse, status: number, json: string): void {
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(json),
  })
  response.end(json)
}

/** Requests of one connection that may wait for their turn; a client that sends more is dropped. */
const PIPELINE_MAX = 16
const QUIET_MS = 10_000
