import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { ClientGate } from './clients.ts'
import { ContentServer } from './content/content-server.ts'
import { Destinations } from './destination.ts'
import { InvalidRequests } from './invalid-requests.ts'
import { createListener, listen, USUAL_LIMITS } from './listener.ts'
import { LocalEndpoints } from './local-endpoints.ts'
import { DaemonMetrics, type RequestKind } from './metrics.ts'
import { Mirror } from './mirror/mirror.ts'
import { SharedAnswers } from './mirror/shared-answers.ts'
import type { DfdaemonOptions } from './options.ts'
import { ForwardProxy } from './proxy/forward.ts'
import { sendFailure } from './upstream/error-answer.ts'
import { Upstream } from './upstream/upstream.ts'

/** The daemon that answers runtimes: who may use it, and which kind of request each is. */
export class Dfdaemon {
  readonly #server: Server
  readonly #upstream: Upstream
  readonly #gate: ClientGate
  readonly #metrics = new DaemonMetrics()
  readonly #local: LocalEndpoints
  readonly #mirror: Mirror
  readonly #proxy: ForwardProxy
  #port = 0

  private constructor(options: DfdaemonOptions, limits: typeof USUAL_LIMITS) {
    const invalid = new InvalidRequests(options)
    const metrics = this.#metrics
    const destinations = new Destinations(() => this.#port)
    this.#upstream = new Upstream({ ...options, destinations })
    this.#gate = new ClientGate(options.clients, options.log)
    this.#local = new LocalEndpoints({ shown: options.shown, metrics })
    const parts = {
      onInvalid: ({ socket }: IncomingMessage, what: string) => invalid.note(socket.remoteAddress, what),
      destinations,
      upstream: this.#upstream,
      content: new ContentServer({ ...options, upstream: this.#upstream, metrics }),
      sharedAnswers: new SharedAnswers(this.#upstream),
    }
    this.#mirror = new Mirror({ ...parts, options: options.mirror })
    this.#proxy = new ForwardProxy({ ...parts, options, gate: this.#gate, metrics })
    this.#server = createListener(options.tls, limits, (address, what) => invalid.note(address, what))
    this.#server.on('request', (request, response) => void this.#answer(request, response))
    this.#server.on('connect', (request, socket: Socket, head) => this.#proxy.connect(request, socket, head))
  }

  /** @throws DragonflyError ADDRESS_IN_USE; CONFIG_INVALID */
  static async start(options: DfdaemonOptions, limits = USUAL_LIMITS): Promise<Dfdaemon> {
    const daemon = new Dfdaemon(options, limits)
    daemon.#port = await listen(daemon.#server, options)
    options.log.info({ host: options.host, port: daemon.#port }, 'dfdaemon listens')
    return daemon
  }

  get port(): number {
    return this.#port
  }

  /** Breaks off what is under way. */
  async stop(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    this.#proxy.stop()
    this.#server.closeAllConnections()
    await this.#upstream.close()
    await closed
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let kind: RequestKind = 'refused'
    try {
      kind = await this.#dispatch(request, response)
    } catch (thrown) {
      sendFailure(response, thrown)
    }
    this.#metrics.request(kind, response.headersSent ? response.statusCode : 0)
  }

  async #dispatch(request: IncomingMessage, response: ServerResponse): Promise<RequestKind> {
    if (!this.#gate.lets(request)) {
      this.#gate.refuse(request, response)
      return 'refused'
    }
    const target = request.url!
    if (!target.startsWith('/')) {
      await this.#proxy.answer(request, response)
      return 'proxy'
    }
    const [path] = target.split('?', 1)
    if (this.#local.has(path)) {
      await this.#local.answer(path, request, response)
      return 'local'
    }
    return this.#mirror.answer(request, response)
  }
}
