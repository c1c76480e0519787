import { DragonflyError } from './error.ts'

/** Where somebody listens. An IPv6 address is kept without brackets. */
export type HostPort = { readonly host: string; readonly port: number }

/** `host:port`, with brackets around IPv6 (RFC 3986, section 3.2.2). */
export function formatHostPort(address: HostPort): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

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
