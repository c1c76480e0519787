import { DragonflyError } from '../core/error.ts'
import { decodeLatin1 } from '../core/text.ts'

/** HTTP/1.1 responses as arithmetic on bytes (RFC 9112): the head, how the body is framed, and an incremental body decoder. */

export type ResponseHead = {
  readonly status: number
  /** Names in lower case; repeated fields are joined with ", ". */
  readonly headers: ReadonlyMap<string, string>
  readonly isKeepAlive: boolean
}

export const HEAD_BYTES_MAX = 64 * 1024

export type BodyFraming =
  | { readonly kind: 'length'; readonly lengthBytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' }

/**
 * Index just behind the blank line that ends a head, or -1. `from` may point up to three bytes before new bytes, so that a search over
 * growing input stays linear.
 */
export function findHeadEnd(bytes: Uint8Array, from: number, end: number): number {
  for (let i = Math.max(0, from); i < end; i++) {
    if (bytes[i] !== LF) continue
    if (i >= 1 && bytes[i - 1] === LF) return i + 1
    if (i >= 3 && bytes[i - 1] === CR && bytes[i - 2] === LF) return i + 1
  }
  return -1
}

/**
 * Parses status line and fields, the blank line included.
 * @throws DragonflyError PROTOCOL_INVALID
 */
export function parseResponseHead(bytes: Uint8Array): ResponseHead {
  const lines = decodeLatin1(bytes).split(/\r?\n/)
  const status = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(lines[0])
  if (!status) throw new DragonflyError('PROTOCOL_INVALID', 'the answer is not HTTP/1.x')
  const headers = new Map<string, string>()
  for (const line of lines.slice(1)) {
    if (line === '') break
    const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line)
    if (!field) throw new DragonflyError('PROTOCOL_INVALID', 'the answer has a malformed header field')
    const name = field[1].toLowerCase()
    const previous = headers.get(name)
    headers.set(name, previous === undefined ? field[2] : `${previous}, ${field[2]}`)
  }
  const connection = (headers.get('connection') ?? '').toLowerCase()
  const isKeepAlive = status[1] === '1' ? !connection.includes('close') : connection.includes('keep-alive')
  return { status: Number(status[2]), headers, isKeepAlive }
}

/**
 * How the body of an answer to `method` ends (RFC 9112, section 6.3).
 * @throws DragonflyError PROTOCOL_INVALID for contradictory or malformed lengths
 */
export function framingOf(head: ResponseHead, method: 'GET' | 'HEAD'): BodyFraming {
  if (method === 'HEAD' || head.status === 204 || head.status === 304 || head.status < 200) {
    return { kind: 'length', lengthBytes: 0 }
  }
  const transferEncoding = head.headers.get('transfer-encoding')
  if (transferEncoding !== undefined) {
    if (transferEncoding.trim().toLowerCase() === 'chunked') return { kind: 'chunked' }
    throw new DragonflyError(
      'PROTOCOL_INVALID',
      `the transfer coding "${transferEncoding}" was not asked for`,
    )
  }
  const contentLength = head.headers.get('content-length')
  if (contentLength === undefined) return { kind: 'close' }
  const values = new Set(contentLength.split(',').map(value => value.trim()))
  const [value] = values
  if (values.size !== 1 || !/^\d{1,15}$/.test(value)) {
    throw new DragonflyError('PROTOCOL_INVALID', `the content length "${contentLength}" is not a number`)
  }
  return { kind: 'length', lengthBytes: Number(value) }
}

type DecoderState = 'payload' | 'chunk-size' | 'chunk-end' | 'trailer' | 'done'

/** Finds the payload in the bytes of a body, however they were split. Allocates nothing per step. */
export class BodyDecoder {
  /** After `step`: the payload found lies at `payloadStart ≤ i < payloadEnd`, and decoding goes on at `next`. */
  payloadStart = 0
  payloadEnd = 0
  next = 0
  #state: DecoderState
  #remaining: number
  #line = ''
  #trailerBytes = 0
  readonly #framing: BodyFraming

  constructor(framing: BodyFraming) {
    this.#framing = framing
    this.#remaining = framing.kind === 'length' ? framing.lengthBytes : 0
    this.#state = framing.kind === 'chunked' ? 'chunk-size' : 'payload'
    if (framing.kind === 'length' && framing.lengthBytes === 0) this.#state = 'done'
  }

  get isDone(): boolean {
    return this.#state === 'done'
  }

  /** Whether the body is complete if the connection ends here. */
  get mayEndHere(): boolean {
    return this.isDone || this.#framing.kind === 'close'
  }

  /** How many of the bytes that come next are payload whatever they are; infinite where only the connection's end ends the body. */
  get payloadAheadBytes(): number {
    if (this.#state !== 'payload') return 0
    return this.#framing.kind === 'close' ? Number.POSITIVE_INFINITY : this.#remaining
  }

  /**
   * Consumes from `bytes[start, end)` up to the end of one stretch of payload of at most `limit` bytes.
   * @throws DragonflyError PROTOCOL_INVALID for broken chunks
   */
  step(bytes: Uint8Array, start: number, end: number, limit: number): void {
    this.next = start
    this.payloadStart = this.payloadEnd = start
    while (this.next < end && this.#state !== 'done') {
      if (this.#state === 'payload') {
        this.#takePayload(end, limit)
        return
      }
      this.#takeFraming(bytes[this.next++])
    }
  }

  #takePayload(end: number, limit: number): void {
    const available = Math.min(end - this.next, limit)
    const taken = this.#framing.kind === 'close' ? available : Math.min(available, this.#remaining)
    this.payloadStart = this.next
    this.payloadEnd = this.next = this.next + taken
    if (this.#framing.kind === 'close') return
    this.#remaining -= taken
    if (this.#remaining === 0) this.#state = this.#framing.kind === 'chunked' ? 'chunk-end' : 'done'
  }

  #takeFraming(byte: number): void {
    if (byte !== LF) {
      this.#line += String.fromCharCode(byte)
      if (this.#line.length > LINE_MAX)
        throw new DragonflyError('PROTOCOL_INVALID', 'a chunk line is too long')
      return
    }
    const line = this.#line.endsWith('\r') ? this.#line.slice(0, -1) : this.#line
    this.#line = ''
    if (this.#state === 'chunk-size') this.#takeChunkSize(line)
    else if (this.#state === 'chunk-end') this.#takeChunkEnd(line)
    else this.#takeTrailer(line)
  }

  #takeChunkSize(line: string): void {
    const match = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line)
    if (!match) throw new DragonflyError('PROTOCOL_INVALID', 'a chunk size is malformed')
    this.#remaining = Number.parseInt(match[1], 16)
    this.#state = this.#remaining === 0 ? 'trailer' : 'payload'
  }

  #takeChunkEnd(line: string): void {
    if (line !== '') throw new DragonflyError('PROTOCOL_INVALID', 'a chunk is longer than its size')
    this.#state = 'chunk-size'
  }

  #takeTrailer(line: string): void {
    this.#trailerBytes += line.length
    if (this.#trailerBytes > HEAD_BYTES_MAX)
      throw new DragonflyError('PROTOCOL_INVALID', 'the trailer is too long')
    if (line === '') this.#state = 'done'
  }
}

const CR = 13
const LF = 10
const LINE_MAX = 8192
