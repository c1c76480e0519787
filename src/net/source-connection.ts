import { assert } from '../core/assert.ts'
import type { Clock } from '../core/clock.ts'
import type { ResponseHead } from '../wire/http1.ts'
import { Http1Connection, type Http1Timeouts } from './http1-connection.ts'
import { TransportError } from './transport-error.ts'

/** One GET request and what becomes of its answer. */
export type SourceRequest = {
  readonly text: string
  /** Set by whoever cancels; nobody waits for the answer any more. */
  isCancelled: boolean
  /** Times that it was moved to another connection through the source's fault. */
  moves: number
  /**
   * Takes the answer, of which the head has been read. It must not reject.
   * @param startedMs when the request became the first of its connection
   */
  receive(head: ResponseHead, connection: Http1Connection, startedMs: number): Promise<Receipt>
  /** `null` where it was cancelled. */
  fail(cause: unknown): void
}

type Receipt =
  /** The body was read; `settle` hands it over when the connection is ready for the next request. */
  | { readonly kind: 'taken'; settle(): void }
  /** Nothing of the body was wanted; the request has failed already. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'failed' }

export type SourceAddress = {
  readonly host: string
  readonly port: number
  /** Who must not wait behind whom: connections are shared within a lane only. */
  readonly lane: string
}

/** Requests that a closed connection leaves behind, and why; `answered` means that it ended in order behind an answer. */
export type Orphans = {
  readonly requests: SourceRequest[]
  readonly cause: Outcome | 'us'
}

type SourceConnectionOptions = {
  readonly address: SourceAddress
  readonly clock: Clock
  readonly timeouts: Http1Timeouts
  onOpen(connection: SourceConnection): void
  onAnswered(connection: SourceConnection): void
  /** The last call. `connectFailure` is null for a connection that was established. */
  onClosed(connection: SourceConnection, orphans: Orphans, connectFailure: unknown): void
}

/** `stale`: the other side had closed a connection that served before, and has not begun to answer. */
type Outcome = 'answered' | 'broken' | 'stale'

/** One connection to a source with several requests on the wire; the answers come in order. */
export class SourceConnection {
  readonly #options: SourceConnectionOptions
  readonly #connecting = new AbortController()
  readonly #onWire: SourceRequest[] = []
  #http: Http1Connection | null = null
  #isClosed = false
  /** By us, or in the midst of an answer. */
  #isCut = false
  #isBroken = false
  #isReading = false
  #answeredCount = 0
  #idleSinceMs = 0

  constructor(options: SourceConnectionOptions) {
    this.#options = options
    void this.#connect()
  }

  get isOpen(): boolean {
    return this.#http !== null && !this.#isClosed
  }

  get isIdle(): boolean {
    return this.isOpen && this.#onWire.length === 0
  }

  /** Requests on the wire. */
  get load(): number {
    return this.#onWire.length
  }

  get idleSinceMs(): number {
    return this.#idleSinceMs
  }

  /** Whether another request may be sent; a byte that nobody asked for spoils an idle connection. */
  get isUsable(): boolean {
    if (!this.#http || this.#isClosed || this.#isCut || this.#isBroken) return false
    return this.#http.isReusable && (this.load > 0 || this.#http.unreadBytes === 0)
  }

  send(request: SourceRequest): void {
    assert(this.#http !== null && this.isUsable, 'the connection is usable')
    this.#onWire.push(request)
    this.#http.send(request.text)
    if (!this.#isReading) void this.#readAnswers(this.#http)
  }

  /** Takes note that `request` was cancelled: breaks off its answer if that is being read, lets it pass by later otherwise. */
  cancel(request: SourceRequest): void {
    if (this.#onWire[0] === request) this.#cut()
    else if (this.#onWire.includes(request)) request.fail(null)
  }

  /** Closes at once; what is on the wire is cancelled. */
  close(): void {
    for (const request of this.#onWire) request.isCancelled = true
    if (this.#onWire.length > 0) this.#cut()
    else this.#finish({ requests: [], cause: 'us' }, null)
  }

  #cut(): void {
    this.#isCut = true
    this.#http?.destroy()
  }

  async #connect(): Promise<void> {
    const { address, clock, timeouts } = this.#options
    try {
      const signal = this.#connecting.signal
      const http = await Http1Connection.connect({ ...address, tls: null }, { clock, timeouts, signal })
      if (this.#isClosed) return http.destroy()
      this.#http = http
      this.#idleSinceMs = clock.now()
      this.#options.onOpen(this)
    } catch (thrown) {
      this.#finish({ requests: [], cause: 'broken' }, thrown)
    }
  }

  async #readAnswers(http: Http1Connection): Promise<void> {
    this.#isReading = true
    while (this.#onWire.length > 0) {
      const outcome = await this.#readAnswer(http, this.#onWire[0])
      if (outcome !== 'answered' || this.#isCut || !http.isReusable) {
        const cause = this.#isCut ? 'us' : outcome
        return this.#finish({ requests: this.#onWire.splice(0), cause }, null)
      }
      this.#answeredCount++
      this.#options.onAnswered(this)
    }
    this.#isReading = false
  }

  async #readAnswer(http: Http1Connection, request: SourceRequest): Promise<Outcome> {
    const startedMs = this.#options.clock.now()
    const unanswered = http.unreadBytes === 0 ? http.receivedBytes : -1
    let head: ResponseHead
    try {
      head = await http.readHead('GET')
    } catch (thrown) {
      const isSilent = http.receivedBytes === unanswered
      const mayBeStale = isSilent && this.#answeredCount > 0 && request.moves === 0 && !request.isCancelled
      if (mayBeStale && thrown instanceof TransportError && thrown.failure === 'closed') return 'stale'
      request.fail(thrown)
      this.#isBroken = true
      this.#onWire.shift()
      return 'broken'
    }
    const receipt: Receipt = request.isCancelled
      ? { kind: 'refused' }
      : await request.receive(head, http, startedMs)
    if (receipt.kind === 'refused' && !this.#isCut) await this.#passOver(head, http)
    this.#isBroken = !http.isBodyDone
    this.#onWire.shift()
    this.#idleSinceMs = this.#options.clock.now()
    if (receipt.kind === 'taken') receipt.settle()
    return this.#isBroken ? 'broken' : 'answered'
  }

  /** Reads a body that nobody took, a refusal's or a cancelled one's, where that is cheaper than another connection. */
  async #passOver(head: ResponseHead, http: Http1Connection): Promise<void> {
    const { clock, timeouts } = this.#options
    const deadline = clock.now() + timeouts.idleMs
    if (!http.isReusable || !(Number(head.headers.get('content-length')) <= PASS_OVER_BYTES_MAX)) return
    try {
      while (clock.now() < deadline && (await http.readBody(passedOver)) > 0);
    } catch {
      // The connection is broken, which `isBodyDone` says.
    }
  }

  #finish(orphans: Orphans, connectFailure: unknown): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#connecting.abort()
    this.#http?.destroy()
    this.#options.onClosed(this, orphans, connectFailure)
  }
}

const PASS_OVER_BYTES_MAX = 1024 * 1024
const passedOver = new Uint8Array(64 * 1024)
