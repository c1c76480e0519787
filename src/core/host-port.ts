import { DragonflyError } from './error.ts'

/** Where somebody listens. An IPv6 address is kept without brackets. */
export type HostPort = { readonly host: string; readonly port: number }

/** Of a supernode, where its address says none. */
export const DEFAULT_CONTROL_PORT = 8002

/** `host:port`, with brackets around IPv6 (RFC 3986, section 3.2.2). */
export function formatHostPort(address: HostPort): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/** Whether it is a name or an address and a port, and nothing that would mean more in a request or a URL. */
export function isHostPort({ host, port }: HostPort): boolean {
  const isPort = Number.isInteger(port) && port >= 1 && port <= 65_535
  const isName = /^[0-9A-Za-z](?:[0-9A-Za-z._-]*[0-9A-Za-z])?$/.test(host)
  const isAddress6 = /^(?=(?:[^:]*:){2})[0-9A-Fa-f:.]+$/.test(host)
  return isPort && host.length <= HOST_LENGTH_MAX && (isName || isAddress6)
}

/** RFC 1035, section 2.3.4. */
const HOST_LENGTH_MAX = 253

/**
 * Parses `host`, `host:port`, `[v6]` or `[v6]:port`.
 * @throws DragonflyError USAGE
 */
export function parseHostPort(text: string, defaultPort: number): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+))(?::(\d{1,5}))?$/.exec(text.trim())
  const port = match?.[3] === undefined ? defaultPort : Number(match[3])
  if (!match || port < 1 || port > 65_535) {
    throw new DragonflyError(
      'USAGE',
      `"${text}" is not an address; write it like host:8002 or [2001:db8::1]:8002`,
    )
  }
  return { host: match[1] ?? match[2], port }
}

/** What `parseHostPort` reads and `isHostPort` takes; null where there is no such thing. */
export function hostPortIn(text: string, defaultPort: number): HostPort | null {
  try {
    const address = parseHostPort(text, defaultPort)
    return isHostPort(address) ? address : null
  } catch {
    return null
  }
}
