import type { Socket } from 'node:net'
import { parseRangeHeader } from '../../src/core/byte-range.ts'
import { type Clock, sleep } from '../../src/core/clock.ts'
import { TokenBucket } from '../../src/core/token-bucket.ts'
import { type Behaviour, USUAL, versionOf } from './origin-behaviour.ts'
import { SLICE_BYTES, slicesOf } from './origin-content.ts'
import type { LoggedRequest } from './origin-request.ts'

/** What an answer changes at the path that it is for. */
type AnsweredFile = {
  readonly behaviour: Behaviour
  set(patch: Partial<Behaviour>): void
  spend(name: 'refusal' | 'bodyFault'): boolean
}

const SLOW_HEAD_BYTE_MS = 5

type AnswerOptions = {
  socket: Socket
  request: LoggedRequest
  file: AnsweredFile | null
  clock: Clock
  onBody: (bytes: number) => void
}

/** One answer, from a snapshot of the behaviour at its beginning. */
export class Answer {
  readonly #socket: Socket
  readonly #request: LoggedRequest
  readonly #file: AnsweredFile | null
  readonly #behaviour: Behaviour
  readonly #clock: Clock
  readonly #onBody: (bytes: number) => void
  readonly #bucket: TokenBucket | null
  #bodyBytes = 0
  #fault: Behaviour['bodyFault'] = null

  constructor(options: AnswerOptions) {
    this.#socket = options.socket
    this.#request = options.request
    this.#file = options.file
    this.#behaviour = options.file?.behaviour ?? USUAL
    this.#clock = options.clock
    this.#onBody = options.onBody
    const rate = this.#behaviour.rateBytesPerSecond
    this.#bucket = rate === null ? null : new TokenBucket(rate, options.clock.now())
  }

  async send(): Promise<boolean> {
    const behaviour = this.#behaviour
    if (behaviour.headDelayMs > 0) await this.#pause(behaviour.headDelayMs)
    if (behaviour.headFault === 'silent') return this.#waitForClient()
    if (behaviour.headFault === 'close') return this.#hangUp()
    if (behaviour.headFault === 'garbage') {
      await this.#write(Buffer.from('220 mail.example ESMTP ready\r\n\r\n'))
      return this.#hangUp()
    }
    if (this.#file === null) return this.#sendBrief(404)
    if (behaviour.redirect) {
      return this.#sendBrief(behaviour.redirect.status ?? 302, { Location: behaviour.redirect.to })
    }
    if (behaviour.authorization !== null && this.#request.headers.authorization !== behaviour.authorization) {
      return this.#sendBrief(401, { 'WWW-Authenticate': 'Basic realm="origin"' })
    }
    if (behaviour.refusal && this.#file.spend('refusal')) {
      return this.#sendBrief(behaviour.refusal.status, behaviour.refusal.headers)
    }
    if (this.#isUnchanged()) return this.#sendBrief(304, this.#versionHeaders())
    return this.#sendContent(this.#file)
  }

  #isUnchanged(): boolean {
    const { headers } = this.#request
    if (!this.#behaviour.answersUnchanged) return false
    const { etag, lastModified } = versionOf(this.#behaviour)
    if (headers['if-none-match'] !== undefined) return etag !== null && headers['if-none-match'] === etag
    return lastModified !== null && headers['if-modified-since'] === lastModified
  }

  async #sendContent(file: AnsweredFile): Promise<boolean> {
    const { lengthBytes, framing } = this.#behaviour
    const range = this.#pickRange()
    if (range && range.start >= lengthBytes) {
      return this.#sendBrief(416, { 'Content-Range': `bytes */${lengthBytes}` })
    }
    const { start, end } = range ?? { start: 0, end: lengthBytes }
    const fields: Record<string, string> = { ...this.#versionHeaders(), ...this.#behaviour.headers }
    if (this.#behaviour.ranges !== 'ignored') fields['Accept-Ranges'] = 'bytes'
    if (this.#behaviour.contentType) fields['Content-Type'] = this.#behaviour.contentType
    if (this.#behaviour.contentEncoding) fields['Content-Encoding'] = this.#behaviour.contentEncoding
    if (range) Object.assign(fields, this.#contentRange(start, end))
    const bodyEnd = range && this.#behaviour.ranges === 'surplus' ? end + 10 : end
    if (framing === 'length') fields['Content-Length'] = String(bodyEnd - start)
    if (framing === 'chunked') fields['Transfer-Encoding'] = 'chunked'
    if (framing === 'close') fields.Connection = 'close'
    await this.#sendHead(range ? 206 : 200, fields)
    if (this.#request.method === 'HEAD') return framing !== 'close'
    if (file.spend('bodyFault')) this.#fault = this.#behaviour.bodyFault
    if (await this.#sendBody(start, bodyEnd)) return this.#waitForClient()
    if (this.#fault?.kind === 'truncate' || framing === 'close') return this.#hangUp()
    return this.#wantsMore()
  }

  /** Null for the whole content. */
  #pickRange(): { start: number; end: number } | null {
    const { ranges, lengthBytes } = this.#behaviour
    const { range: header, 'if-range': ifRange } = this.#request.headers
    if (header === undefined || ranges === 'ignored') return null
    const { etag, lastModified } = versionOf(this.#behaviour)
    const isSame =
      ifRange === undefined || (ifRange === etag && !etag.startsWith('W/')) || ifRange === lastModified
    if (!isSame && ranges !== 'deaf') return null
    const open = /^bytes=(\d+)-$/.exec(header)
    const range = open ? { start: Number(open[1]), end: lengthBytes } : parseRangeHeader(header)
    if (!range) return null
    const end = Math.min(range.end, lengthBytes)
    return { start: range.start, end: ranges === 'short' ? Math.ceil((range.start + end) / 2) : end }
  }

  #contentRange(start: number, end: number): Record<string, string> {
    const { ranges, lengthBytes } = this.#behaviour
    if (ranges === 'no-content-range') return {}
    const shift = ranges === 'wrong-start' ? -1 : 0
    const last = (ranges === 'wrong-length' ? end - 2 : end - 1) + shift
    const complete = ranges === 'unknown-length' ? '*' : lengthBytes
    return { 'Content-Range': `bytes ${start + shift}-${last}/${complete}` }
  }

  #versionHeaders(): Record<string, string> {
    const { etag, lastModified } = versionOf(this.#behaviour)
    return { ...(etag && { ETag: etag }), ...(lastModified && { 'Last-Modified': lastModified }) }
  }

  /** An answer whose body is a word about its status. */
  async #sendBrief(status: number, fields: Record<string, string> = {}): Promise<boolean> {
    const body = status === 304 ? '' : `status ${status}\n`
    const length: Record<string, string> = status === 304 ? {} : { 'Content-Length': String(body.length) }
    await this.#sendHead(status, { ...fields, ...length })
    if (body !== '' && this.#request.method !== 'HEAD') await this.#write(Buffer.from(body))
    return this.#wantsMore()
  }

  async #sendHead(status: number, fields: Record<string, string>): Promise<void> {
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
    const head = Buffer.from(`HTTP/1.1 ${status} Status\r\n${lines.join('')}\r\n`, 'latin1')
    if (this.#behaviour.headFault !== 'slow') return this.#write(head)
    for (const byte of head) {
      await this.#write(Uint8Array.of(byte))
      await this.#pause(SLOW_HEAD_BYTE_MS)
    }
  }

  /** Returns whether it stalled. */
  async #sendBody(start: number, end: number): Promise<boolean> {
    const { seed, framing, chunkBytes, chunkExtension, trailers } = this.#behaviour
    const faultAt = this.#fault?.afterBytes ?? Infinity
    const sliceBytes = this.#sliceBytes(framing === 'chunked' ? chunkBytes : SLICE_BYTES)
    for (const slice of slicesOf(seed, start, end, sliceBytes)) {
      const allowed = Math.max(0, faultAt - this.#bodyBytes)
      const payload = slice.length > allowed ? slice.subarray(0, allowed) : slice
      if (framing === 'chunked')
        await this.#write(Buffer.from(`${slice.length.toString(16)}${chunkExtension}\r\n`))
      await this.#sendPayload(payload)
      if (payload.length < slice.length || (this.#bodyBytes === faultAt && this.#bodyBytes < end - start)) {
        if (this.#fault?.kind === 'reset') this.#socket.resetAndDestroy()
        return this.#fault?.kind === 'stall'
      }
      if (framing === 'chunked') await this.#write(Buffer.from('\r\n'))
    }
    const trailerLines = Object.entries(trailers).map(([name, value]) => `${name}: ${value}\r\n`)
    if (framing === 'chunked') await this.#write(Buffer.from(`0\r\n${trailerLines.join('')}\r\n`))
    return false
  }

  /** Slices of a throttled answer are small, so that its rate is even. */
  #sliceBytes(most: number): number {
    const rate = this.#behaviour.rateBytesPerSecond
    return rate === null ? most : Math.max(1, Math.min(most, Math.floor(rate / 50)))
  }

  async #sendPayload(payload: Uint8Array): Promise<void> {
    const waitMs = this.#bucket?.take(payload.length, this.#clock.now()) ?? 0
    if (waitMs > 0) await this.#pause(waitMs)
    await this.#write(payload)
    this.#bodyBytes += payload.length
    const { change } = this.#behaviour
    if (change && this.#bodyBytes >= change.afterBytes && this.#file?.behaviour.change === change) {
      this.#file.set({ change: null, ...change.patch })
    }
    this.#onBody(payload.length)
  }

  /** Resolves when the kernel has the bytes; rejects when the client is gone. */
  #write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, error => (error ? reject(error) : resolve()))
    })
  }

  /** Waits, or rejects when the client is gone. */
  async #pause(delayMs: number): Promise<void> {
    const gone = new AbortController()
    const onClose = () => gone.abort(new Error('the client is gone'))
    if (this.#socket.destroyed) onClose()
    this.#socket.once('close', onClose)
    try {
      await sleep(this.#clock, delayMs, gone.signal)
    } finally {
      this.#socket.off('close', onClose)
    }
  }

  #wantsMore(): boolean {
    if ((this.#request.headers.connection ?? '').toLowerCase() !== 'close') return true
    return this.#hangUp()
  }

  #hangUp(): false {
    this.#socket.end()
    return false
  }

  async #waitForClient(): Promise<false> {
    if (this.#socket.destroyed) return false
    await new Promise<void>(resolve => this.#socket.once('close', () => resolve()))
    return false
  }
}
