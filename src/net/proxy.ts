import { BlockList, isIP, isIPv6 } from 'node:net'
import { DragonflyError } from '../core/error.ts'
import { authorityOf, type UrlAuthority } from './url-authority.ts'

/** Which requests to origins go through a proxy. Supernodes and peers are never asked through one. */

export type ProxySettings = {
  /** URLs of the proxies by the origin's scheme, credentials included; null is none. */
  readonly http: string | null
  readonly https: string | null
  /**
   * What is asked directly, as in curl's `no_proxy`: a domain stands for itself and all below it, with or without a dot before it; an
   * address for itself, with `/bits` for a network; `:port` after either for that port alone; `*` for everything.
   */
  readonly except: readonly string[]
}

/** The proxy itself may be spoken to with TLS; the authorization is for it alone. */
export type HttpProxy = UrlAuthority

type Destination = Pick<UrlAuthority, 'isSecure' | 'host' | 'port'>

/** @throws DragonflyError USAGE where the setting is not a URL of a proxy */
export function proxyFor(settings: ProxySettings | null | undefined, to: Destination): HttpProxy | null {
  const text = (to.isSecure ? settings?.https : settings?.http) ?? null
  if (text === null || settings!.except.some(entry => covers(entry, to))) return null
  return parseProxyUrl(text)
}

function parseProxyUrl(text: string): HttpProxy {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw new DragonflyError('USAGE', 'a proxy is written http://host:port')
  }
  return authorityOf(url)
}

function covers(entry: string, { host, port }: Destination): boolean {
  if (entry === '*') return true
  const { name, port: onlyPort } = splitPort(entry.toLowerCase())
  if (name === '' || (onlyPort !== null && onlyPort !== port)) return false
  const asked = host.toLowerCase().replace(/\.$/, '')
  if (isIP(asked) !== 0) return coversAddress(name, asked)
  const domain = name.replace(/^\*?\./, '').replace(/\.$/, '')
  return domain !== '' && (asked === domain || asked.endsWith(`.${domain}`))
}

function coversAddress(entry: string, address: string): boolean {
  const [network, bits] = entry.split('/', 2)
  if (isIP(network) === 0 || isIP(network) !== isIP(address)) return false
  const family = isIPv6(network) ? 'ipv6' : 'ipv4'
  const most = family === 'ipv6' ? 128 : 32
  const prefix = bits === undefined ? most : Number(bits)
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > most || bits === '') return false
  const list = new BlockList()
  list.addSubnet(network, prefix, family)
  return list.check(address, family)
}

/** An IPv6 address with a port stands in brackets; the bits of a network may follow them. */
function splitPort(entry: string): { name: string; port: number | null } {
  if (isIPv6(entry.split('/', 1)[0])) return { name: entry, port: null }
  const [, name, port] = /^(.*?)(?::(\d{1,5}))?$/.exec(entry)!
  return { name: name.replace(/^\[(.*)\]/, '$1'), port: port === undefined ? null : Number(port) }
}
