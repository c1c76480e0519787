import { isIP } from 'node:net'
import type { SecureContext } from 'node:tls'
import type { HttpProxy } from './proxy.ts'

/** Where a connection goes, and how. */
export type Http1Target = {
  readonly host: string
  readonly port: number
  /**
   * TLS with verified certificates; `servername` is the name that must match, empty for an address. `context` holds whom to trust, made
   * once and not per connection; without it, whom the runtime trusts. `isBlind`: nothing is verified. `tunnel` is who connects us to
   * the target, if anybody.
   */
  readonly tls: {
    readonly servername: string
    readonly context?: SecureContext
    readonly isBlind?: boolean
    readonly tunnel?: HttpProxy | null
  } | null
}

/** An address is matched as one where no name is set, and must not be sent as a server name (RFC 6066, section 3). */
export function serverNameOf(host: string): string {
  return isIP(host) === 0 ? host : ''
}
