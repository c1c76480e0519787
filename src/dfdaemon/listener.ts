import {
  createServer as createPlainServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { DragonflyError } from '../core/error.ts'
import type { DfdaemonOptions } from './options.ts'

export type ListenerLimits = {
  readonly connections: number
  readonly headBytes: number
  /** For a whole head. */
  readonly headMs: number
  /** Without a byte where it is the client's turn to send one or to take one; an upstream may take its time. */
  readonly stallMs: number
  /** A kept connection without a request. */
  readonly keepAliveMs: number
}

export const USUAL_LIMITS: ListenerLimits = {
  connections: 4096,
  headBytes: 64 * 1024,
  headMs: 10_000,
  stallMs: 300_000,
  keepAliveMs: 75_000,
}

/** A server whose connections and heads are limited, and which says what it does not understand. Ambiguous heads are refused by Node's parser. */
export function createListener(
  tls: DfdaemonOptions['tls'],
  limits: ListenerLimits,
  onInvalid: (address: string | undefined, what: string) => void,
): Server {
  const options = {
    maxHeaderSize: limits.headBytes,
    headersTimeout: limits.headMs,
    // A body may take as long as it takes, while it moves.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: Math.min(1_000, limits.headMs),
    highWaterMark: 256 * 1024,
  }
  const server =
    tls === null
      ? createPlainServer(options)
      : createSecureServer({ ...options, ...tls, ALPNProtocols: ['http/1.1'] })
  server.maxConnections = limits.connections
  // Further fields would be left out without a word; the length of the head is their limit.
  server.maxHeadersCount = 0
  const exchanges = new WeakMap<Duplex, { request: IncomingMessage; response: ServerResponse }>()
  server.on('request', (request, response) => exchanges.set(request.socket, { request, response }))
  server.setTimeout(limits.stallMs, (socket: Socket) => {
    const exchange = exchanges.get(socket)
    const isUpstreamsTurn = exchange?.request.complete && !exchange.response.writableFinished
    if (socket.writableLength > 0 || !isUpstreamsTurn) socket.destroy()
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const code = error.code ?? ''
    const isBetweenAnswers = exchanges.get(socket)?.response.writableFinished ?? true
    if (!/^(?:HPE_|ERR_HTTP_)/.test(code)) {
      socket.destroy()
      return
    }
    // Clients that do not know whether a mirror speaks TLS try that first.
    if (!isClientHello(error)) onInvalid((socket as Socket).remoteAddress, code)
    // Into the middle of an answer, nothing is said.
    if (isBetweenAnswers && socket.writable) refuse(socket as Socket, STATUS_OF[code] ?? 400)
    else socket.destroy()
  })
  server.on('drop', data => onInvalid(data?.remoteAddress, 'too many connections'))
  return server
}

/** @throws DragonflyError ADDRESS_IN_USE */
export function listen(server: Server, { host, port }: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new DragonflyError('ADDRESS_IN_USE', `${host}:${port}: ${cause.message}`, { cause })),
    )
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port))
  })
}

const LINGER_MS = 1_000

const STATUS_OF: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
}

/** A TLS record of the handshake (RFC 8446, section 5.1). */
function isClientHello(error: Error & { rawPacket?: Buffer }): boolean {
  return error.rawPacket?.[0] === 0x16
}

/** The client has a moment to take it in: what it still sends would break the connection before it has read. */
function refuse(socket: Socket, status: number): void {
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
  socket.end(head)
  socket.setTimeout(LINGER_MS, () => socket.destroy())
}
