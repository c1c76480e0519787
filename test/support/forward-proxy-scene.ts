import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { DragonflyError } from '../../src/core/error.ts'
import { parseCidr } from '../../src/core/ip-address.ts'
import { Dfdaemon } from '../../src/dfdaemon/dfdaemon.ts'
import type { ContentOrder, DfdaemonOptions, UpstreamTrust } from '../../src/dfdaemon/options.ts'
import { systemRandom } from '../../src/ops/system-random.ts'
import { findHeadEnd, parseResponseHead, type ResponseHead } from '../../src/wire/http1.ts'
import { type KeptLog, keptLog } from './kept-log.ts'
import { MovedClock } from './moved-clock.ts'
import { createSelfSigned } from './self-signed.ts'

/** A daemon whose swarm has nothing, so that each answer comes from an origin, and two origins that remember what they were asked. */
export type ForwardProxyScene = {
  readonly daemon: Dfdaemon
  readonly origin: RecordingOrigin
  readonly secureOrigin: RecordingOrigin
  /** Content that the swarm was asked for. */
  readonly orders: readonly ContentOrder[]
  readonly log: KeptLog
  readonly clock: MovedClock
  close(): Promise<void>
}

type RecordingOrigin = {
  readonly port: number
  /** Who vouches for it, PEM text. */
  readonly authority: string
  readonly requests: readonly RecordedRequest[]
  close(): void
}

export type RecordedRequest = {
  readonly line: string
  readonly fields: readonly string[]
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export const NO_TRUST: UpstreamTrust = { authorities: null, isInsecure: false }

/** What `change` says of the options may depend on where the origins are. */
export async function openForwardProxyScene(
  change: (
    origins: Pick<ForwardProxyScene, 'origin' | 'secureOrigin'>,
  ) => Partial<DfdaemonOptions> = () => ({}),
): Promise<ForwardProxyScene> {
  const origin = await startOrigin(false)
  const secureOrigin = await startOrigin(true)
  const orders: ContentOrder[] = []
  const log = keptLog()
  const clock = new MovedClock()
  const daemon = await Dfdaemon.start({
    host: '127.0.0.1',
    port: 0,
    tls: null,
    mirror: {
      usual: { remote: `http://127.0.0.1:${origin.port}`, trust: NO_TRUST, isDirect: true },
      registries: new Map(),
    },
    proxy: { rules: [], hijack: null },
    clients: { allowed: [parseCidr('127.0.0.1/32')], credentials: null },
    proxies: null,
    fetcher: {
      fetch(order) {
        orders.push(order)
        const next = () => Promise.reject(new DragonflyError('PEER_ABSENT', 'there is no peer'))
        return { [Symbol.asyncIterator]: () => ({ next }) }
      },
    },
    accessMemoryMs: 0,
    shown: { args: [], settings: {} },
    clock,
    random: systemRandom,
    log,
    ...change({ origin, secureOrigin }),
  })
  return {
    daemon,
    origin,
    secureOrigin,
    orders,
    log,
    clock,
    async close() {
      await daemon.stop()
      origin.close()
      secureOrigin.close()
    },
  }
}

/** Answers with what it was asked, and for `/v2/` as a registry whose every blob is these four bytes. */
async function startOrigin(isSecure: boolean): Promise<RecordingOrigin> {
  const requests: RecordedRequest[] = []
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const body = (await buffer(request)).toString()
    const { method, url, headers, rawHeaders: fields } = request
    requests.push({ line: `${method} ${url}`, fields, headers, body })
    response.end(url!.startsWith('/v2/') ? 'blob' : `${method} ${url} ${body}`)
  }
  const own = createSelfSigned({ dns: 'localhost', ipv4: '127.0.0.1' })
  const server = isSecure ? createSecureServer(own, answer) : createServer(answer)
  return {
    port: await listenAnywhere(server),
    authority: own.cert,
    requests,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

export async function listenAnywhere(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

export type Tunnel = { readonly head: ResponseHead; readonly socket: Socket }

type TunnelOptions = {
  /** Further lines of the head. */
  readonly fields?: readonly string[]
  /** Bytes that do not wait for the answer. */
  readonly early?: string
  readonly localAddress?: string
}

/** What a proxy answers to CONNECT, and the connection, which has what else came still to be read. */
export async function connectThrough(
  port: number,
  target: string,
  { fields = [], early = '', localAddress }: TunnelOptions = {},
): Promise<Tunnel> {
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  socket.on('error', () => {})
  const lines = [`CONNECT ${target} HTTP/1.1`, 'Host: any.example', ...fields, '', early]
  socket.write(lines.join('\r\n'))
  return { head: await readHead(socket), socket }
}

function readHead(socket: Socket): Promise<ResponseHead> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const onClose = () => reject(new Error('the connection closed without an answer'))
    const onReadable = () => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
        received = Buffer.concat([received, chunk])
        const headEnd = findHeadEnd(received, 0, received.length)
        if (headEnd < 0) continue
        socket.off('readable', onReadable).off('close', onClose)
        socket.unshift(received.subarray(headEnd))
        resolve(parseResponseHead(received.subarray(0, headEnd)))
        return
      }
    }
    socket.on('readable', onReadable).on('close', onClose)
  })
}

/** Everything that comes until the other side has ended. */
export async function readToEnd(socket: Socket): Promise<string> {
  return (await buffer(socket)).toString()
}

/** Resolves when the connection is gone, in order or not. */
export async function closed(socket: Socket): Promise<void> {
  socket.resume()
  if (!socket.closed) await new Promise(resolve => socket.once('close', resolve))
}
