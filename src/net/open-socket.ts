import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { Http1Target } from './http1-target.ts'

/** Where the bytes that a socket reads go; false stops it until somebody resumes it. */
type Landing = {
  buffer(): Uint8Array
  callback(bytesRead: number, buffer: Uint8Array): boolean
}

/** Begins to connect to the target: directly, or over `tunnel`, a socket that a proxy has connected to it. */
export function openSocket(target: Http1Target, landing: Landing, tunnel: Socket | null): Socket {
  const { host, port, tls } = target
  const address = { host, port, onread: landing }
  if (tls === null) return connectTcp(address)
  const secure: ConnectionOptions = {
    servername: tls.servername,
    secureContext: tls.context,
    rejectUnauthorized: tls.isBlind !== true,
    ALPNProtocols: ['http/1.1'],
  }
  if (tunnel === null) return connectTls({ ...address, ...secure })
  // Over a socket that is there already the runtime has no `onread`, and `host` is what a certificate for an address must name.
  const socket = connectTls({ ...secure, socket: tunnel, ...(isIP(host) ? { host } : {}) })
  socket.on('data', (bytes: Uint8Array) => {
    if (!pour(bytes, landing)) socket.pause()
  })
  socket.once('close', () => tunnel.destroy())
  return socket
}

function pour(bytes: Uint8Array, landing: Landing): boolean {
  let isWanted = true
  for (let position = 0; position < bytes.length; ) {
    const buffer = landing.buffer()
    const part = bytes.subarray(position, position + buffer.length)
    buffer.set(part)
    isWanted = landing.callback(part.length, buffer)
    position += part.length
  }
  return isWanted
}
