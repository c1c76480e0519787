import { createSecureContext, type SecureContext } from 'node:tls'
import type { Clock } from '../../core/clock.ts'
import {
  type Authority,
  type CertificateAndKey,
  issueLeaf,
  LEAF_AHEAD_MS,
  openAuthority,
  parseKey,
  pkcs8Of,
} from './certificates.ts'

const KEPT_MAX = 100
/** An hour less than a leaf has, for clients whose clock is ahead. */
const USED_MS = LEAF_AHEAD_MS - 3_600_000

type Kept = { readonly context: Promise<SecureContext>; readonly untilMs: number }

/** What we present for a host: a leaf that the authority issues for it, or the one certificate for all where that is no authority's. */
export class HostCertificates {
  readonly #clock: Clock
  readonly #own: CertificateAndKey
  readonly #authority: Authority | null
  /** Those that were used last are the last. */
  readonly #kept = new Map<string, Kept>()

  /** @throws DragonflyError CONFIG_INVALID */
  constructor(own: CertificateAndKey, clock: Clock) {
    this.#clock = clock
    this.#own = own
    this.#authority = openAuthority(own)
  }

  /** `host` is a name or an address, without brackets. */
  contextFor(host: string): Promise<SecureContext> {
    const name = this.#authority === null ? '' : host.toLowerCase()
    const known = this.#kept.get(name)
    const kept = known !== undefined && known.untilMs > this.#clock.wallNow() ? known : this.#make(name)
    this.#kept.delete(name)
    this.#kept.set(name, kept)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > KEPT_MAX) this.#kept.delete(oldest)
    return kept.context
  }

  #make(name: string): Kept {
    const now = this.#clock.wallNow()
    const context = this.#presented(name, now).then(({ cert, key }) => createSecureContext({ cert, key }))
    context.catch(() => this.#kept.delete(name))
    return { context, untilMs: now + USED_MS }
  }

  /** The authority's own certificate goes along, since clients may know only the one that is above it. */
  async #presented(name: string, now: number): Promise<CertificateAndKey> {
    if (this.#authority === null) return { cert: this.#own.cert, key: pkcs8Of(parseKey(this.#own.key)) }
    const leaf = await issueLeaf(this.#authority, name, now)
    return { cert: leaf.cert + this.#own.cert, key: leaf.key }
  }
}
