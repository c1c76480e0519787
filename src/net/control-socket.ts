import type { IncomingMessage, Server } from 'node:http'
import { WebSocket, WebSocketServer } from 'ws'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import { MESSAGE_BYTES_MAX } from '../wire/control.ts'

/**
 * The control channel as a pipe for binary messages, both ends. A side that does not answer a ping is gone; a side that does not read
 * what it is sent is cut off, because its queue has a limit.
 */
export type ControlSocket = {
  send(message: Uint8Array): void
  close(): void
  readonly localHost: string
  readonly remoteHost: string
}

export type ControlHandler = {
  /** Not called any more after `close()`. */
  onMessage(message: Uint8Array): void
  onClose(): void
  /** How long the other side took to answer a ping, its own turns included. */
  onRoundTrip?(milliseconds: number): void
}

const CONTROL_PATH = '/control'
const QUEUE_BYTES_MAX = 32 * 1024 * 1024
const PING_MS = 5_000
/** How far away the other side is, is worth knowing soon. */
const FIRST_PING_MS = 100
/** How long the other side may take to answer a close. */
const CLOSE_MS = 1_000
const UNSUPPORTED_DATA = 1003

/** @throws DragonflyError SUPERNODE_UNREACHABLE, also where the signal ends the attempt */
export function connectControl(
  address: HostPort,
  options: { clock: Clock; connectMs: number; handler: ControlHandler; signal: AbortSignal },
): Promise<ControlSocket> {
  const { clock, connectMs, handler, signal } = options
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${formatHostPort(address)}${CONTROL_PATH}`, {
      perMessageDeflate: false,
      handshakeTimeout: connectMs,
      maxPayload: MESSAGE_BYTES_MAX,
    })
    const giveUp = () => socket.terminate()
    signal.addEventListener('abort', giveUp)
    socket.once('close', () => signal.removeEventListener('abort', giveUp))
    if (signal.aborted) giveUp()
    let remote: { localAddress?: string; remoteAddress?: string } = {}
    socket.on('upgrade', response => {
      remote = response.socket
    })
    socket.once('error', cause => {
      reject(
        new DragonflyError('SUPERNODE_UNREACHABLE', `no supernode answers at ${formatHostPort(address)}`, {
          cause,
        }),
      )
    })
    socket.once('open', () => resolve(attach(socket, { clock, handler, remote })))
  })
}

/** Takes over the upgrade requests of an HTTP server. The returned function cuts all channels. */
export function serveControl(
  server: Server,
  options: { clock: Clock; onConnection(socket: ControlSocket): ControlHandler },
): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
  })
  server.on('upgrade', (request: IncomingMessage, socket, head) => {
    if (request.url !== CONTROL_PATH) {
      // From here on the socket is nobody's but ours.
      socket.on('error', () => socket.destroy())
      const answer = 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
      socket.end(answer, () => socket.destroy())
      return
    }
    sockets.handleUpgrade(request, socket, head, webSocket => {
      const forward: ControlHandler = {
        onMessage: message => handler.onMessage(message),
        onClose: () => handler.onClose(),
        onRoundTrip: milliseconds => handler.onRoundTrip?.(milliseconds),
      }
      const control = attach(webSocket, { clock: options.clock, handler: forward, remote: request.socket })
      const handler = options.onConnection(control)
    })
  })
  return () => {
    for (const client of sockets.clients) client.terminate()
    sockets.close()
  }
}

function attach(
  socket: WebSocket,
  options: {
    clock: Clock
    handler: ControlHandler
    remote: { localAddress?: string; remoteAddress?: string }
  },
): ControlSocket {
  const { clock, handler, remote } = options
  let isAlive = true
  let cancelPing = () => {}
  let pingedAt = Number.NaN
  const ping = () => {
    if (!isAlive) return socket.terminate()
    isAlive = false
    pingedAt = clock.now()
    socket.ping()
    cancelPing = clock.schedule(PING_MS, ping)
  }
  cancelPing = clock.schedule(FIRST_PING_MS, ping)
  let cancelCut = () => {}
  const cutSoon = () => {
    cancelCut()
    cancelCut = clock.schedule(CLOSE_MS, () => socket.terminate())
  }
  socket.on('pong', () => {
    if (!Number.isNaN(pingedAt)) handler.onRoundTrip?.(clock.now() - pingedAt)
    pingedAt = Number.NaN
    isAlive = true
  })
  // What breaks the protocol is answered with a close frame that says so (RFC 6455, section 7.4.1), and then cut.
  socket.on('error', () => cutSoon())
  socket.on('message', (data, isBinary) => {
    isAlive = true
    if (socket.readyState !== WebSocket.OPEN) return
    if (isBinary) return handler.onMessage(data as Buffer)
    socket.close(UNSUPPORTED_DATA, 'messages are binary')
    cutSoon()
  })
  socket.on('close', () => {
    cancelPing()
    cancelCut()
    handler.onClose()
  })
  return {
    localHost: plainAddress(remote.localAddress),
    remoteHost: plainAddress(remote.remoteAddress),
    send(message) {
      if (socket.readyState !== WebSocket.OPEN) return
      if (socket.bufferedAmount > QUEUE_BYTES_MAX) return socket.terminate()
      socket.send(message)
    },
    close() {
      if (socket.readyState === WebSocket.CLOSED) return
      socket.close()
      cutSoon()
    },
  }
}

/** An IPv4 address as such, even where a dual-stack socket shows it mapped (RFC 4291, section 2.5.5.2). */
function plainAddress(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:(?=\d+\.)/, '')
}
