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
  onMessage(message: Uint8Array): void
  onClose(): void
}

const CONTROL_PATH = '/control'
const QUEUE_BYTES_MAX = 32 * 1024 * 1024
const PING_MS = 5_000

/** @throws DragonflyError SUPERNODE_UNREACHABLE */
export function connectControl(
  address: HostPort,
  options: { clock: Clock; connectMs: number; handler: ControlHandler },
): Promise<ControlSocket> {
  const { clock, connectMs, handler } = options
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${formatHostPort(address)}${CONTROL_PATH}`, {
      perMessageDeflate: false,
      handshakeTimeout: connectMs,
      maxPayload: MESSAGE_BYTES_MAX,
    })
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
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
      return
    }
    sockets.handleUpgrade(request, socket, head, webSocket => {
      const forward: ControlHandler = {
        onMessage: message => handler.onMessage(message),
        onClose: () => handler.onClose(),
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
  const ping = () => {
    if (!isAlive) return socket.terminate()
    isAlive = false
    socket.ping()
    cancelPing = clock.schedule(PING_MS, ping)
  }
  cancelPing = clock.schedule(PING_MS, ping)
  socket.on('pong', () => {
    isAlive = true
  })
  socket.on('error', () => socket.terminate())
  socket.on('message', data => {
    isAlive = true
    handler.onMessage(data as Buffer)
  })
  socket.on('close', () => {
    cancelPing()
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
    close: () => socket.close(),
  }
}

/** An IPv4 address as such, even where a dual-stack socket shows it mapped (RFC 4291, section 2.5.5.2). */
function plainAddress(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:(?=\d+\.)/, '')
}
