import { connect, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Clock } from '../../core/clock.ts'
import { DragonflyError } from '../../core/error.ts'
import type { HostPort } from '../../core/host-port.ts'
import { type ProxySettings, proxyFor } from '../../net/proxy.ts'
import { openTunnel } from '../../net/proxy-tunnel.ts'
import { TransportError, toTransportError } from '../../net/transport-error.ts'
import type { Destinations } from '../destination.ts'

const DIAL_MS = 10_000
/** Looked at so often; a tunnel in which nothing moved between two looks is closed. */
const IDLE_LOOK_MS = 300_000

type DialOptions = {
  readonly clock: Clock
  readonly proxies: ProxySettings | null
  readonly destinations: Destinations
  readonly signal: AbortSignal
}

/** A socket to `to`, directly or through the proxy that is set for it. @throws TransportError; DragonflyError ORIGIN_LOOP */
export async function dial(
  to: HostPort,
  { clock, proxies, destinations, signal }: DialOptions,
): Promise<Socket> {
  const proxy = proxyFor(proxies, { ...to, isSecure: true })
  if (proxy !== null) return openTunnel(proxy, to, { clock, connectMs: DIAL_MS, signal })
  const socket = connect({ ...to, allowHalfOpen: true, noDelay: true, lookup: destinations.lookupFor(to) })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onError = (error: Error) => reject(error instanceof DragonflyError ? error : toTransportError(error))
  const onAbort = () => reject(new TransportError('closed', 'cancelled'))
  socket.once('connect', resolve).once('error', onError)
  signal.addEventListener('abort', onAbort)
  if (signal.aborted) onAbort()
  const cancel = clock.schedule(DIAL_MS, () =>
    reject(new TransportError('timeout', `no connection within ${DIAL_MS / 1000} s`)),
  )
  try {
    await promise
    return socket
  } catch (thrown) {
    socket.on('error', () => {}).destroy()
    throw thrown
  } finally {
    cancel()
    socket.off('error', onError)
    signal.removeEventListener('abort', onAbort)
  }
}

/** Passes on what either side sends, and its end, until both have ended, one breaks off, or nothing moves for long. */
export function join(client: Socket, far: Socket, clock: Clock): void {
  const sockets = [client, far]
  let isOver = false
  let moved = -1
  const end = () => {
    isOver = true
    cancel()
    for (const socket of sockets) breakOff(socket)
  }
  const look = () => {
    const before = moved
    moved = sockets.reduce((sum, { bytesRead, bytesWritten }) => sum + bytesRead + bytesWritten, 0)
    if (moved === before) end()
    else cancel = clock.schedule(IDLE_LOOK_MS, look)
  }
  let cancel = () => {}
  look()
  for (const socket of sockets) {
    socket.on('error', end)
    // What has ended in order leaves the other side to send the rest of what is for it.
    socket.on('close', () => {
      if (!isOver && (!socket.readableEnded || sockets.every(({ closed }) => closed))) end()
    })
  }
  client.pipe(far).pipe(client)
}

/** With a reset, so that the other side does not take what it has for all that there was. */
function breakOff(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}
