import { createHash, X509Certificate } from 'node:crypto'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { DragonflyError } from '../core/error.ts'
import { readTaskUrl } from '../core/task-url.ts'
import type { OriginHeaders } from './origin.ts'

/**
 * Whom a request trusts to vouch for an origin. The reading of its URL says it (`core/task-url.ts`), so that what was fetched with less
 * care is another task than what was not; further authorities go along in fields that no HTTP header can have, one certificate each.
 */

/** Not a token (RFC 9110, section 5.6.2), so that it can be taken for no header and can never be sent as one. */
const AUTHORITY_FIELD = ':ca'
const AUTHORITIES_MAX = 64
const CERTIFICATE_CHARACTERS_MAX = 16_000
const CONTEXTS_KEPT_MAX = 32

/**
 * The certificates of PEM text in the form in which a request carries them, and the name that its URL's reading must have.
 * @throws DragonflyError USAGE where the text holds no certificate, or one that cannot be read
 */
export function authorityFields(pem: string): { trust: string; fields: OriginHeaders } {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw new DragonflyError('USAGE', 'there is no PEM certificate in it')
  const encoded = blocks.map(block => encodeCertificate(block))
  const fields = [...new Set(encoded)].sort().map(value => [AUTHORITY_FIELD, value] as const)
  if (fields.length > AUTHORITIES_MAX) {
    throw new DragonflyError('USAGE', `there are more than ${AUTHORITIES_MAX} certificates in it`)
  }
  return { trust: nameOf(fields), fields }
}

/** What is for the origin itself. */
export function withoutAuthorities(headers: OriginHeaders): OriginHeaders {
  return headers.filter(([name]) => name !== AUTHORITY_FIELD)
}

export type Trust = {
  /** Whose certificates count; undefined for those of the runtime. */
  readonly context: SecureContext | undefined
  /** Whether the origin's certificate is not checked at all. */
  readonly isBlind: boolean
}

/** Makes contexts and keeps some: building one reads every authority of the system. */
export class TrustStore {
  readonly #own: readonly string[]
  readonly #plain: Trust
  readonly #contexts = new Map<string, SecureContext>()

  /** `ca` is PEM text of further authorities that count for every request. */
  constructor(ca: string | undefined) {
    this.#own = ca === undefined ? [] : [ca]
    const context = ca === undefined ? undefined : trustAlso([ca])
    this.#plain = { context, isBlind: false }
  }

  /** @throws DragonflyError USAGE where the authorities are not those that the URL's reading names */
  for(request: { readonly url: string; readonly headers: OriginHeaders }): Trust {
    const { trust } = readTaskUrl(request.url)
    const authorities = request.headers.filter(([name]) => name === AUTHORITY_FIELD)
    const isNamed = authorities.length === 0 ? trust === '' || trust === 'any' : trust === nameOf(authorities)
    if (!isNamed) throw new DragonflyError('USAGE', 'the certificate authorities are not those of the task')
    if (trust === '') return this.#plain
    if (trust === 'any') return { ...this.#plain, isBlind: true }
    return { context: this.#contextOf(trust, authorities), isBlind: false }
  }

  #contextOf(trust: string, authorities: OriginHeaders): SecureContext {
    const known = this.#contexts.get(trust)
    if (known) return known
    const context = trustAlso([...this.#own, ...authorities.map(([, value]) => decodeCertificate(value))])
    if (this.#contexts.size >= CONTEXTS_KEPT_MAX) this.#contexts.clear()
    this.#contexts.set(trust, context)
    return context
  }
}

function trustAlso(authorities: readonly string[]): SecureContext {
  try {
    return createSecureContext({ ca: [...getCACertificates('default'), ...authorities] })
  } catch (cause) {
    throw new DragonflyError('USAGE', 'a certificate authority is not a certificate', { cause })
  }
}

function nameOf(fields: OriginHeaders): string {
  const values = fields.map(([, value]) => value).sort()
  return createHash('sha256').update(JSON.stringify(values)).digest('hex').slice(0, 32)
}

function encodeCertificate(pem: string): string {
  let encoded: string
  try {
    encoded = new X509Certificate(pem).raw.toString('base64')
  } catch (cause) {
    throw new DragonflyError('USAGE', 'a certificate in it cannot be read', { cause })
  }
  if (encoded.length > CERTIFICATE_CHARACTERS_MAX)
    throw new DragonflyError('USAGE', 'a certificate in it is too long')
  return encoded
}

function decodeCertificate(encoded: string): string {
  const lines = encoded.match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
