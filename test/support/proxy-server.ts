import { createServer, type IncomingMessage, request as requestOf, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'

/** A proxy for tests: relays plain requests, connects for others, and remembers what it was told. */
export type ProxyServer = {
  /** Without credentials. */
  readonly url: string
  readonly port: number
  readonly requests: readonly ProxiedRequest[]
  close(): Promise<void>
}

export type ProxiedRequest = {
  readonly method: string
  /** The absolute URL, or `host:port` where it was asked to connect. */
  readonly target: string
  readonly headers: IncomingMessage['headers']
}

/** `credentials` (`user:password`) are demanded. `status` is the answer to everything. */
export async function startProxyServer(
  options: { credentials?: string; status?: number; tls?: { key: string; cert: string } } = {},
): Promise<ProxyServer> {
  const requests: ProxiedRequest[] = []
  const sockets = new Set<Socket>()
  const wanted = options.credentials && `Basic ${Buffer.from(options.credentials).toString('base64')}`
  const refusal = ({ method, url, headers }: IncomingMessage): number | null => {
    requests.push({ method: method!, target: url!, headers })
    if (options.status !== undefined) return options.status
    return wanted !== undefined && headers['proxy-authorization'] !== wanted ? 407 : null
  }
  const relay = (incoming: IncomingMessage, response: ServerResponse) => {
    const status = refusal(incoming)
    if (status !== null) return response.writeHead(status).end()
    const { 'proxy-authorization': _, ...headers } = incoming.headers
    const outgoing = requestOf(incoming.url!, { headers, agent: false }, answer => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    outgoing.on('error', () => response.destroy())
    outgoing.end()
  }
  const server = options.tls ? createSecureServer(options.tls, relay) : createServer(relay)
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  server.on('connect', (incoming, socket) => {
    const status = refusal(incoming)
    if (status !== null) return socket.end(`HTTP/1.1 ${status} No\r\n\r\n`)
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(incoming.url!)!
    const far = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connected\r\n\r\n')
      far.pipe(socket).pipe(far)
    })
    far.on('error', () => socket.destroy()).on('close', () => socket.destroy())
    socket.on('error', () => far.destroy()).on('close', () => far.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    requests,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
