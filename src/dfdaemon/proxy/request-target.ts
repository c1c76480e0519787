import { type HostPort, isHostPort, parseHostPort } from '../../core/host-port.ts'

/** Targets of requests to a proxy (RFC 9112, section 3.2), in their strict forms: whatever two programs could read differently is none. */

/** The absolute form; null where it is not a URL of HTTP that names a host and nothing besides, such as a user. */
export function parseAbsoluteForm(target: string): URL | null {
  return /^https?:\/\/[^/?#@\\]+(?:[/?][^#\\]*)?$/i.test(target) ? URL.parse(target) : null
}

/** The authority form of CONNECT, where the port must be said. */
export function parseAuthorityForm(target: string): HostPort | null {
  if (!/^(?:\[[^\]]*\]|[^:]*):\d{1,5}$/.test(target)) return null
  const address = orNull(() => parseHostPort(target, 0))
  return address !== null && isHostPort(address) ? address : null
}

function orNull<T>(parse: () => T): T | null {
  try {
    return parse()
  } catch {
    return null
  }
}
