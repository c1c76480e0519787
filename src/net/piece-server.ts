import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { PieceDesk, type PieceDeskOptions } from './piece-desk.ts'

// An import of node:http names all of its exports, and with them loads its WebSocket client: 35 ms and 14 MB.
const { createServer } = process.getBuiltinModule('node:http')

/** Serves pieces to whoever has the task's token: HTTP/1.1, kept alive, pipelined, one range per request. */

export type PieceServerOptions = PieceDeskOptions & {
  readonly host?: string
  /** 0 lets the system choose. */
  readonly port: number
  /** A client that takes no byte for so long is dropped. */
  readonly idleMs: number
}

export type PieceServer = {
  readonly port: number
  activeUploads(): number
  /** Breaks off what is being sent, and resolves when every lease and buffer is back. */
  close(): Promise<void>
}

/** @throws DragonflyError ADDRESS_IN_USE */
export async function startPieceServer(options: PieceServerOptions): Promise<PieceServer> {
  const desk = new PieceDesk(options)
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: REQUEST_MS,
      maxHeaderSize: HEAD_BYTES_MAX,
    },
    (request, response) => void desk.answer(request, response),
  )
  server.maxConnections = CONNECTIONS_MAX
  // Node's socket timer sees how far a write has come within the system, which no clock of ours can.
  server.timeout = options.idleMs
  server.on('connection', socket => desk.welcome(socket))
  await listen(server, options)
  const { port } = server.address() as AddressInfo
  return { port, activeUploads: () => desk.activeUploads, close: () => close(server, desk) }
}

function listen(server: Server, options: PieceServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const isTaken = error.code === 'EADDRINUSE'
      reject(
        isTaken
          ? new DragonflyError('ADDRESS_IN_USE', `port ${options.port} is in use`, { cause: error })
          : toDragonflyError(error),
      )
    })
    server.listen({ port: options.port, host: options.host, backlog: BACKLOG }, () => resolve())
  })
}

async function close(server: Server, desk: PieceDesk): Promise<void> {
  const isClosed = new Promise<void>(resolve => server.close(() => resolve()))
  server.closeAllConnections()
  await isClosed
  await desk.close()
}

/** Longer than any client of ours keeps an idle connection, so that the client is the one to close it. */
const KEEP_ALIVE_MS = 120_000
const REQUEST_MS = 10_000
const HEAD_BYTES_MAX = 8 * 1024
const CONNECTIONS_MAX = 4096
const BACKLOG = 1024
