import type { Clock } from '../core/clock.ts'
import type { Cidr } from '../core/ip-address.ts'
import type { Random } from '../core/random.ts'
import type { ProxySettings } from '../net/proxy.ts'
import type { Log } from '../ops/log.ts'
import type { DownloadRequest, LocalEvent } from '../wire/local.ts'

/** What the daemon is told at its start, compiled: numbers with units, patterns, parsed addresses. */
export type DfdaemonOptions = {
  /** Address to listen on. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** PEM texts; null serves without TLS. */
  readonly tls: { readonly cert: string; readonly key: string } | null
  readonly mirror: MirrorOptions
  readonly proxy: ForwardProxyOptions
  readonly clients: ClientOptions
  /** Through whom registries and other upstreams are asked; null is directly. */
  readonly proxies: ProxySettings | null
  /** Who fetches content. */
  readonly fetcher: ContentFetcher
  /** For how long a decision that let a caller in is taken for the present one. */
  readonly accessMemoryMs: number
  /** What `/args` and `/env` say; secrets are gone from it already. */
  readonly shown: { readonly args: readonly string[]; readonly settings: Readonly<Record<string, unknown>> }
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** Whom a connection to an upstream trusts. */
export type UpstreamTrust = {
  /** PEM text of further authorities, or null. */
  readonly authorities: string | null
  /** Whether the certificate is not checked. */
  readonly isInsecure: boolean
}

export type Registry = {
  /** `https://host[:port][/path]`, no slash at its end. */
  readonly remote: string
  readonly trust: UpstreamTrust
  /** Whether its blobs, too, are passed straight through. */
  readonly isDirect: boolean
}

export type MirrorOptions = {
  /** For requests that name no registry. */
  readonly usual: Registry
  /** By name, as in `ns=NAME`, or name and beginning of the repository, `NAME/team`; `_default` is for names that are not in it. */
  readonly registries: ReadonlyMap<string, Registry>
}

export type ProxyRule = {
  /** Looked for in the whole URL. */
  readonly pattern: RegExp
  readonly usesHttps: boolean
  readonly isDirect: boolean
  /** `host[:port]` to ask instead, or null. */
  readonly redirect: string | null
}

type HijackedHost = { readonly pattern: RegExp; readonly trust: UpstreamTrust }

export type ForwardProxyOptions = {
  /** The first that fits counts. */
  readonly rules: readonly ProxyRule[]
  /** PEM texts of the authority, or of one server certificate for all hosts; null opens no HTTPS. */
  readonly hijack: {
    readonly cert: string
    readonly key: string
    readonly hosts: readonly HijackedHost[]
  } | null
}

export type ClientOptions = {
  /** Whose requests are answered. */
  readonly allowed: readonly Cidr[]
  /** What a client of the proxy must show (RFC 7617), or null. */
  readonly credentials: { readonly user: string; readonly password: string } | null
}

/** What to fetch; the fetcher knows the rest: supernodes, limits, whose account. */
export type ContentOrder = Pick<
  DownloadRequest,
  'url' | 'headers' | 'name' | 'digest' | 'authorities' | 'isInsecure' | 'lookAhead' | 'readFrom'
>

export type ContentFetcher = {
  /** Says nothing before the whole is there, so that its silence means nothing. */
  readonly isSilent?: boolean
  /**
   * What the resident peer says of one download, `readable` in each progress. After `complete` the file may be read until the iteration is
   * ended, and that, or `signal`, gives the download up.
   * @throws DragonflyError why the download failed, or why there is no peer
   */
  fetch(order: ContentOrder, signal: AbortSignal): AsyncIterable<LocalEvent>
}
