import type { Readable } from 'node:stream'
import { getCACertificates } from 'node:tls'
import { buildConnector, Pool } from 'undici'
import { type HttpProxy, proxyFor } from '../../net/proxy.ts'
import { openTunnel } from '../../net/proxy-tunnel.ts'
import { authorityOf } from '../../net/url-authority.ts'
import type { Destinations } from '../destination.ts'
import type { DfdaemonOptions, UpstreamTrust } from '../options.ts'
import { type Fields, fieldsOf, VIA } from './fields.ts'
import { upstreamFailure } from './upstream-failure.ts'

export type UpstreamRequest = {
  readonly method: string
  readonly url: URL
  /** Without `Host`, this daemon's `Via`, and what counts for one hop only. */
  readonly fields: Fields
  readonly body: Readable | null
  readonly trust: UpstreamTrust
  readonly signal: AbortSignal
}

export type UpstreamAnswer = {
  readonly status: number
  readonly statusText: string
  readonly fields: Fields
  /** Its errors are those of the connection; `upstreamFailure` translates them. */
  readonly body: Readable
}

/** Of one host; further requests wait in line. */
const CONNECTIONS_MAX = 256
const POOLS_MAX = 128
const CONNECT_MS = 10_000
const HEAD_MS = 60_000
/** Who takes a whole layer may move it to its place before it answers. */
const HEAD_AFTER_BODY_MS = 600_000
const IDLE_MS = 60_000
const KEEP_ALIVE_MS = 10_000
const HEAD_BYTES_MAX = 64 * 1024

type UpstreamOptions = Pick<DfdaemonOptions, 'proxies' | 'clock'> & { readonly destinations: Destinations }

/** One request to a registry or another server, over connections that are kept. Redirects, too, lead where `destinations` lets them. */
export class Upstream {
  readonly #options: UpstreamOptions
  /** By whom they lead to and whom they trust; the one that was used last is the last. */
  readonly #pools = new Map<string, Pool>()

  constructor(options: UpstreamOptions) {
    this.#options = options
  }

  /**
   * Follows no redirect.
   * @throws DragonflyError
   */
  async send(request: UpstreamRequest): Promise<UpstreamAnswer> {
    try {
      return await this.#sendOnce(request)
    } catch (thrown) {
      if (!isRepeatable(request, thrown)) {
        throw upstreamFailure(thrown, request.url, { stage: 'head', signal: request.signal })
      }
    }
    // The server had closed a kept connection before it saw the request.
    return this.#sendOnce(request).catch(thrown => {
      throw upstreamFailure(thrown, request.url, { stage: 'head', signal: request.signal })
    })
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    await Promise.all(pools.map(pool => pool.destroy()))
  }

  async #sendOnce({ method, url, fields, body, trust, signal }: UpstreamRequest): Promise<UpstreamAnswer> {
    const { host, port, isSecure } = authorityOf(url)
    this.#options.destinations.check({ host, port })
    const proxy = proxyFor(this.#options.proxies, { host, port, isSecure })
    // A proxy is told the whole URL (RFC 9112, section 3.2.2), and connects us where the exchange is not for its eyes.
    const relay = isSecure ? null : proxy
    const target = url.pathname + url.search
    const answer = await this.#poolFor(url, { trust, proxy }).request({
      method,
      path: relay === null ? target : `http://${url.host}${target}`,
      headers: [
        ...(relay?.authorization ? ['proxy-authorization', relay.authorization] : []),
        'host',
        url.host,
        ...fields.flat(),
        ...VIA,
      ],
      body,
      signal,
      responseHeaders: 'raw',
      headersTimeout: body === null ? HEAD_MS : HEAD_AFTER_BODY_MS,
    })
    // With `responseHeaders: 'raw'` it is the flat list, which undici's types do not say.
    const raw = answer.headers as unknown as readonly string[]
    return {
      status: answer.statusCode,
      statusText: answer.statusText,
      fields: fieldsOf(raw),
      body: answer.body,
    }
  }

  #poolFor(url: URL, { trust, proxy }: { trust: UpstreamTrust; proxy: HttpProxy | null }): Pool {
    const key = JSON.stringify([url.origin, trust.isInsecure, trust.authorities, proxy])
    const known = this.#pools.get(key)
    if (known) {
      this.#pools.delete(key)
      this.#pools.set(key, known)
      return known
    }
    const pool = this.#openPool(url, { trust, proxy })
    this.#pools.set(key, pool)
    if (this.#pools.size > POOLS_MAX) {
      const [oldest, unused] = this.#pools.entries().next().value!
      this.#pools.delete(oldest)
      unused.close().catch(() => {})
    }
    return pool
  }

  #openPool(url: URL, { trust, proxy }: { trust: UpstreamTrust; proxy: HttpProxy | null }): Pool {
    const relay = url.protocol === 'http:' ? proxy : null
    const origin = relay === null ? url.origin : originOf(relay)
    const connect = buildConnector({
      timeout: CONNECT_MS,
      allowH2: false,
      rejectUnauthorized: !trust.isInsecure,
      // What is dialled is looked at, whatever the name meant before. A proxy looks names up by itself.
      lookup: proxy === null ? this.#options.destinations.lookupFor(authorityOf(url)) : undefined,
      ...(trust.authorities === null ? {} : { ca: [...getCACertificates('default'), trust.authorities] }),
    })
    return new Pool(origin, {
      connections: CONNECTIONS_MAX,
      allowH2: false,
      bodyTimeout: IDLE_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEAD_BYTES_MAX,
      connect: proxy !== null && relay === null ? this.#throughTunnel(proxy, connect) : connect,
    })
  }

  #throughTunnel(proxy: HttpProxy, connect: buildConnector.connector): buildConnector.connector {
    const { clock } = this.#options
    return (options, callback) => {
      const to = { host: options.hostname, port: Number(options.port) || 443 }
      openTunnel(proxy, to, { clock, connectMs: CONNECT_MS }).then(
        httpSocket => connect({ ...options, httpSocket }, callback),
        thrown => callback(thrown, null),
      )
    }
  }
}

function originOf({ isSecure, host, port }: HttpProxy): string {
  return `${isSecure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function isRepeatable({ method, body, signal }: UpstreamRequest, thrown: unknown): boolean {
  const isSafe = (method === 'GET' || method === 'HEAD') && body === null
  const code = (thrown as NodeJS.ErrnoException | null)?.code
  return isSafe && !signal.aborted && (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE')
}
