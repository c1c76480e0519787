import { DragonflyError } from '../core/error.ts'
import { hasControlCharacter } from '../core/text.ts'
import { type Http1Target, serverNameOf } from '../net/http1-target.ts'
import type { HttpProxy } from '../net/proxy.ts'
import { authorityOf } from '../net/url-authority.ts'
import type { Trust } from './trust.ts'

/** Where one HTTP request goes. */
export type HttpUrl = {
  readonly isSecure: boolean
  /** Without the brackets of an IPv6 address. */
  readonly host: string
  readonly port: number
  /** Host, and port where it is not the scheme's own: the `Host` field, and how messages name the origin. */
  readonly authority: string
  /** Path and query: the request's target. May hold a signature, so it is never logged. */
  readonly pathAndQuery: string
  /** `Basic …` from the user information, or null. */
  readonly basicAuthorization: string | null
}

/**
 * Parses what the user gave. The text never shows in the message, for it may hold credentials.
 * @throws DragonflyError USAGE
 */
export function parseHttpUrl(text: string): HttpUrl {
  if (hasControlCharacter(text)) throw new DragonflyError('USAGE', 'the URL holds a control character')
  const url = URL.parse(text)
  if (!url || !isHttp(url)) throw new DragonflyError('USAGE', 'the URL is not a valid http or https URL')
  return describe(url)
}

/**
 * Resolves a `Location` field against the URL that it came from (RFC 9110, section 10.2.2). User information in it is dropped: an
 * origin does not choose with which credentials we go elsewhere. Null where it is not a URL that we can go to.
 */
export function resolveLocation(location: string, from: HttpUrl): HttpUrl | null {
  // A head is octets: what is beyond ASCII goes back as the octets that came, not as UTF-8 of Latin-1.
  const ascii = location.replace(
    /[\x80-\xff]/g,
    octet => `%${octet.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  if (hasControlCharacter(ascii)) return null
  const scheme = from.isSecure ? 'https' : 'http'
  const url = URL.parse(ascii, `${scheme}://${from.authority}${from.pathAndQuery}`)
  return url && isHttp(url) ? { ...describe(url), basicAuthorization: null } : null
}

/** Same scheme, host and port (RFC 6454). */
export function isSameOrigin(a: HttpUrl, b: HttpUrl): boolean {
  return a.isSecure === b.isSecure && a.host === b.host && a.port === b.port
}

export function isSameUrl(a: HttpUrl, b: HttpUrl): boolean {
  return isSameOrigin(a, b) && a.pathAndQuery === b.pathAndQuery
}

/** Where to connect for a URL, and whom to trust there. A proxy gets plain requests itself, and connects us for others. */
export function targetOf(url: HttpUrl, trust: Trust, proxy: HttpProxy | null = null): Http1Target {
  if (!url.isSecure && proxy !== null) {
    const tls = proxy.isSecure ? { servername: serverNameOf(proxy.host) } : null
    return { host: proxy.host, port: proxy.port, tls }
  }
  if (!url.isSecure) return { host: url.host, port: url.port, tls: null }
  const tls = { servername: serverNameOf(url.host), ...trust, tunnel: proxy }
  return { host: url.host, port: url.port, tls }
}

function describe(url: URL): HttpUrl {
  const { isSecure, host, port, authorization } = authorityOf(url)
  return {
    isSecure,
    host,
    port,
    authority: url.host,
    pathAndQuery: url.pathname + url.search,
    basicAuthorization: authorization,
  }
}

function isHttp(url: URL): boolean {
  return (url.protocol === 'http:' || url.protocol === 'https:') && url.hostname !== ''
}
