import { type HostPort, hostPortIn } from '../../core/host-port.ts'

/** Targets of requests to a proxy (RFC 9112, section 3.2), in their strict forms: whatever two programs could read differently is none. */

/** The absolute form; null where it is not a URL of HTTP that names a host and nothing besides, such as a user. */
export function parseAbsoluteForm(target: string): URL | null {
  return /^https?:\/\/[^/?#@\\]+(?:[/?][^#\\]*)?$/i.test(target) ? URL.parse(target) : null
}

/** The authority form of CONNECT, where the port must be said. */
export function parseAuthorityForm(target: string): HostPort | null {
  return /^(?:\[[^\]]*\]|[^:]*):\d{1,5}$/.test(target) ? hostPortIn(target, 0) : null
}
