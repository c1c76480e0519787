import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { isDigest } from '../../core/digest.ts'
import { toDragonflyError } from '../../core/error.ts'
import { formatHostPort, type HostPort } from '../../core/host-port.ts'
import { authorityOf } from '../../net/url-authority.ts'
import { translateFailure } from '../../origin/http-failure.ts'
import { type ClientGate, PROXY_CHALLENGE } from '../clients.ts'
import type { ContentServer, WantedContent } from '../content/content-server.ts'
import type { Destinations } from '../destination.ts'
import type { DaemonMetrics } from '../metrics.ts'
import { isSharedQuestion, type SharedAnswers } from '../mirror/shared-answers.ts'
import type { DfdaemonOptions, UpstreamTrust } from '../options.ts'
import { sendFailure, sendRefusal } from '../upstream/error-answer.ts'
import { fieldsOf } from '../upstream/fields.ts'
import { passThrough } from '../upstream/pass-through.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { HostCertificates } from './host-certificates.ts'
import { OpenedHttps } from './opened-https.ts'
import { routeOf } from './proxy-rules.ts'
import { parseAbsoluteForm, parseAuthorityForm } from './request-target.ts'
import { dial, join } from './tunnel.ts'

/** Tunnels and opened connections at a time, those included that are being made or refused. */
const TUNNELS_MAX = 1024
/** For a client to take in why it was refused. */
const LINGER_MS = 2_000

const USUAL_TRUST: UpstreamTrust = { authorities: null, isInsecure: false }

type ForwardProxyParts = {
  readonly options: Pick<DfdaemonOptions, 'proxy' | 'proxies' | 'clock' | 'log'>
  readonly gate: ClientGate
  readonly destinations: Destinations
  readonly upstream: Upstream
  readonly content: Pick<ContentServer, 'answer'>
  readonly sharedAnswers: Pick<SharedAnswers, 'answer'>
  readonly metrics: DaemonMetrics
  /** Of a request that is refused, for the log. */
  onInvalid(request: IncomingMessage, what: string): void
}

/** A request to connect, and the answer to it as long as it is HTTP. */
type ConnectRequest = {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly socket: Socket
}

/** What names its whole URL is asked for there. CONNECT leads there blindly, or to us where the host is one whose HTTPS is opened. */
export class ForwardProxy {
  readonly #parts: ForwardProxyParts
  readonly #opened: OpenedHttps | null
  readonly #tunnels = new Set<Socket>()

  /** @throws DragonflyError CONFIG_INVALID where the certificate or the key for opening HTTPS is of no use */
  constructor(parts: ForwardProxyParts) {
    this.#parts = parts
    const { proxy, clock, log } = parts.options
    this.#opened =
      proxy.hijack &&
      new OpenedHttps({
        certificates: new HostCertificates(proxy.hijack, clock),
        clock,
        log,
        answer: (request, response, to) => void this.#answerOpened(request, response, to),
      })
  }

  /** A request in absolute form. Resolves when the exchange is over, however it ended. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!this.#parts.gate.opensProxy(request)) return this.#refuseCredentials(request, response)
    const url = parseAbsoluteForm(request.url!)
    if (url === null) this.#refuseTarget(request, response)
    else await this.#forward(request, response, url)
  }

  /** `head` are the bytes that came behind the request; they are for the other side of the tunnel. */
  connect(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#tunnels.add(socket)
    socket.on('error', () => {}).once('close', () => this.#tunnels.delete(socket))
    socket.setTimeout(0)
    socket.unshift(head)
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    try {
      response.assignSocket(socket)
    } catch {
      // An earlier request's answer is still under way on this connection, and must not end up within the tunnel.
      socket.destroy()
      return
    }
    response.once('finish', () => {
      this.#parts.metrics.request('tunnel', response.statusCode)
      this.#linger(socket)
    })
    void this.#connect({ request, response, socket })
  }

  /** Breaks off all tunnels. */
  stop(): void {
    for (const socket of this.#tunnels) socket.destroy()
  }

  async #connect(asked: ConnectRequest): Promise<void> {
    const { request, response, socket } = asked
    const { gate, onInvalid } = this.#parts
    if (!gate.lets(request)) return gate.refuse(request, response)
    if (!gate.opensProxy(request)) return this.#refuseCredentials(request, response)
    const to = parseAuthorityForm(request.url!)
    const { 'content-length': length, 'transfer-encoding': coding } = request.headers
    if (to === null || length !== undefined || coding !== undefined) {
      this.#refuseTarget(request, response)
      return
    }
    if (this.#tunnels.size > TUNNELS_MAX) {
      onInvalid(request, 'too many tunnels')
      sendRefusal(response, 503, { code: 'TOOMANYREQUESTS', message: 'there are too many tunnels' })
      return
    }
    const gone = new AbortController()
    socket.once('close', () => gone.abort())
    try {
      await this.#lead(to, asked, gone.signal)
    } catch (thrown) {
      const failure = translateFailure(thrown, to.host, { stage: 'head', signal: gone.signal })
      this.#noteDestination(request, failure)
      sendFailure(response, failure)
    }
  }

  /** @throws TransportError; DragonflyError */
  async #lead(to: HostPort, { response, socket }: ConnectRequest, signal: AbortSignal): Promise<void> {
    const { destinations, metrics, options } = this.#parts
    await destinations.checkName(to)
    const begin = () => {
      metrics.request('tunnel', 200)
      response.detachSocket(socket)
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
    }
    if (this.#opened !== null && this.#trustOf(to) !== null) {
      await this.#opened.take(socket, to, begin)
      return
    }
    const far = await dial(to, { clock: options.clock, proxies: options.proxies, destinations, signal })
    if (socket.destroyed) {
      far.destroy()
      return
    }
    begin()
    join(socket, far, options.clock)
  }

  /** A request on a connection whose HTTPS is opened. */
  async #answerOpened(request: IncomingMessage, response: ServerResponse, to: HostPort): Promise<void> {
    const { metrics } = this.#parts
    response.once('close', () => metrics.request('proxy', response.headersSent ? response.statusCode : 0))
    const origin = `https://${formatHostPort(to)}`
    const target = request.url!.startsWith('/') ? origin + request.url : request.url!
    const url = parseAbsoluteForm(target)
    if (url === null || url.origin !== URL.parse(origin)?.origin) this.#refuseTarget(request, response)
    else await this.#forward(request, response, url)
  }

  async #forward(request: IncomingMessage, response: ServerResponse, asked: URL): Promise<void> {
    const { options, destinations, upstream, content, sharedAnswers } = this.#parts
    try {
      const { url, isForSwarm } = routeOf(options.proxy.rules, request.method!, asked)
      const to = authorityOf(url)
      await destinations.checkName(to)
      const trust = this.#trustOf(to) ?? USUAL_TRUST
      const exchange = { request, response, url, trust, fields: fieldsOf(request.rawHeaders) }
      if (isForSwarm) await content.answer(wantedAt(url), exchange)
      else if (isSharedQuestion(request, url)) await sharedAnswers.answer(exchange)
      else await passThrough(upstream, exchange)
    } catch (thrown) {
      this.#noteDestination(request, thrown)
      sendFailure(response, thrown)
    }
  }

  /** Null where it is no host whose HTTPS is opened. */
  #trustOf(to: HostPort): UpstreamTrust | null {
    const hosts = this.#parts.options.proxy.hijack?.hosts ?? []
    return hosts.find(({ pattern }) => formatHostPort(to).search(pattern) >= 0)?.trust ?? null
  }

  #refuseCredentials(request: IncomingMessage, response: ServerResponse): void {
    this.#parts.onInvalid(request, 'proxy credentials')
    response.setHeader('proxy-authenticate', PROXY_CHALLENGE)
    sendRefusal(response, 407, { code: 'UNAUTHORIZED', message: 'the proxy wants a user and a password' })
  }

  #refuseTarget(request: IncomingMessage, response: ServerResponse): void {
    this.#parts.onInvalid(request, 'proxy target')
    sendRefusal(response, 400, {
      code: 'UNSUPPORTED',
      message:
        'a proxy is asked for http://host/path or https://host/path without a user, or to CONNECT to host:port without a body',
    })
  }

  #noteDestination(request: IncomingMessage, thrown: unknown): void {
    const { code } = toDragonflyError(thrown)
    if (code === 'ORIGIN_BLOCKED' || code === 'ORIGIN_LOOP')
      this.#parts.onInvalid(request, 'proxy destination')
  }

  /** A connection that is reset while bytes of the client are unread may lose the answer on its way. */
  #linger(socket: Socket): void {
    socket.resume().end()
    const cancel = this.#parts.options.clock.schedule(LINGER_MS, () => socket.destroy())
    socket.once('close', cancel)
  }
}

/** A registry's blob says in its path what it must be. */
function wantedAt(url: URL): WantedContent {
  const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(url.pathname)?.[1]
  if (isDigest(digest)) return { digest, name: digest.replace(':', '-') }
  const name = url.pathname.split('/').findLast(segment => segment !== '') ?? url.hostname
  return { digest: null, name }
}
