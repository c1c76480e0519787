import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Clock } from '../../core/clock.ts'
import type { HostPort } from '../../core/host-port.ts'
import type { Log } from '../../ops/log.ts'
import { createListener, USUAL_LIMITS } from '../listener.ts'
import type { HostCertificates } from './host-certificates.ts'

const HANDSHAKE_MS = 10_000
/** From the handshake, and from the end of an answer, until the next request's head is there; a server that does not listen looks after no heads. */
const HEAD_MS = USUAL_LIMITS.keepAliveMs

type Connection = { readonly to: HostPort; answering: number; cancel(): void }

type OpenedHttpsOptions = {
  readonly certificates: HostCertificates
  readonly clock: Clock
  readonly log: Log
  /** Answers a request that was meant for `to`. */
  readonly answer: (request: IncomingMessage, response: ServerResponse, to: HostPort) => void
}

/**
 * Stands for the hosts whose HTTPS is opened. The certificate is for the host that CONNECT named, whatever name the handshake then says:
 * that is the host to which the requests go.
 */
export class OpenedHttps {
  readonly #options: OpenedHttpsOptions
  readonly #connections = new WeakMap<object, Connection>()
  /** Listens nowhere; it is given its connections. */
  readonly #server: Server

  constructor(options: OpenedHttpsOptions) {
    this.#options = options
    this.#server = createListener(null, USUAL_LIMITS, (address, what) =>
      options.log.debug({ address, what }, 'an invalid request on an opened connection'),
    )
    this.#server.on('request', (request, response) => this.#answer(request, response))
  }

  /** Takes a connection whose client is to begin with TLS. `begin` tells the client that it may. */
  async take(client: Socket, to: HostPort, begin: () => void): Promise<void> {
    const { certificates, clock, log } = this.#options
    const secureContext = await certificates.contextFor(to.host)
    if (client.destroyed) return
    begin()
    const secure = new TLSSocket(client, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] })
    const connection: Connection = {
      to,
      answering: 0,
      cancel: clock.schedule(HANDSHAKE_MS, () => secure.destroy()),
    }
    this.#connections.set(secure, connection)
    secure.on('close', () => {
      connection.cancel()
      client.destroy()
    })
    secure.on('error', error => log.debug({ host: to.host, error }, 'an opened connection broke'))
    secure.once('secure', () => {
      this.#awaitHead(connection, secure)
      this.#server.emit('connection', secure)
    })
  }

  #awaitHead(connection: Connection, secure: TLSSocket): void {
    connection.cancel()
    connection.cancel = this.#options.clock.schedule(HEAD_MS, () => secure.destroy())
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const secure = request.socket as TLSSocket
    const connection = this.#connections.get(secure)!
    connection.cancel()
    connection.answering++
    response.once('close', () => {
      connection.answering--
      if (connection.answering === 0 && !secure.destroyed) this.#awaitHead(connection, secure)
    })
    this.#options.answer(request, response, connection.to)
  }
}
