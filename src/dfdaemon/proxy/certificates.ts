import { createPrivateKey, KeyObject, X509Certificate as NodeCertificate, type webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { DragonflyError } from '../../core/error.ts'
import { dateOf } from '../../ops/system-clock.ts'
import { randomName } from '../../ops/system-random.ts'

/** Certificates (RFC 5280) of an authority of our own: its own, and those that it issues for the hosts whose HTTPS is opened. */

/** PEM texts; the key is PKCS #8. */
export type CertificateAndKey = { readonly cert: string; readonly key: string }

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
/** A leaf is valid for 24 hours, of which one has passed, so that a client whose clock is behind takes it too. */
const BACKDATED_MS = 3_600_000
export const LEAF_AHEAD_MS = 23 * 3_600_000
/** RFC 5280, appendix A.1: ub-common-name. */
const COMMON_NAME_LENGTH_MAX = 64

/**
 * A new authority, for servers' certificates alone: it can make no authorities below it.
 * @param now milliseconds since the Unix epoch
 */
export async function createAuthority({
  commonName,
  lifetimeMs,
  now,
}: {
  commonName: string
  lifetimeMs: number
  now: number
}): Promise<CertificateAndKey> {
  const keys = await crypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    keys,
    name: nameOf(commonName),
    serialNumber: randomName(),
    ...validity(now, now + lifetimeMs),
    signingAlgorithm: P256,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { cert: pemOf(certificate), key: keyPemOf(keys.privateKey) }
}

/** What signs leaves. */
export type Authority = {
  readonly certificate: X509Certificate
  readonly key: webcrypto.CryptoKey
  readonly algorithm: { readonly name: string; readonly namedCurve?: string; readonly hash?: string }
}

/**
 * Null where the certificate is no authority's, but a server's.
 * @throws DragonflyError CONFIG_INVALID where certificate and key cannot be read or do not belong together
 */
export function openAuthority({ cert, key }: CertificateAndKey): Authority | null {
  const certificate = orInvalid('the certificate cannot be read', () => new NodeCertificate(cert))
  const privateKey = orInvalid('the key cannot be read', () => parseKey(key))
  if (!certificate.checkPrivateKey(privateKey)) throw invalid('the key is not that of the certificate')
  if (!certificate.ca) return null
  const algorithm = algorithmOf(privateKey)
  return {
    certificate: new X509Certificate(certificate.raw),
    key: privateKey.toCryptoKey(algorithm, false, ['sign']),
    algorithm,
  }
}

/**
 * A certificate for one name or address, with a key that nothing else has.
 * @param now milliseconds since the Unix epoch
 */
export async function issueLeaf(authority: Authority, host: string, now: number): Promise<CertificateAndKey> {
  const keys = await crypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.create({
    publicKey: keys.publicKey,
    signingKey: authority.key,
    signingAlgorithm: authority.algorithm,
    issuer: authority.certificate.subjectName,
    subject: nameOf(host),
    serialNumber: randomName(),
    ...validity(now - BACKDATED_MS, now + LEAF_AHEAD_MS),
    extensions: [
      new SubjectAlternativeNameExtension([{ type: isIP(host) === 0 ? 'dns' : 'ip', value: host }]),
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await keyIdentifierOf(authority.certificate),
    ],
  })
  return { cert: pemOf(certificate), key: keyPemOf(keys.privateKey) }
}

/** An authority may have named its key in another way than by the usual hash. */
async function keyIdentifierOf(authority: X509Certificate): Promise<AuthorityKeyIdentifierExtension> {
  const named = authority.getExtension(SubjectKeyIdentifierExtension)
  return named === null
    ? AuthorityKeyIdentifierExtension.create(authority.publicKey)
    : new AuthorityKeyIdentifierExtension(named.keyId)
}

/** As a list, so that no character of the name means anything. */
function nameOf(commonName: string): Record<string, string[]>[] {
  return [{ O: ['dragonfly'] }, { CN: [commonName.slice(0, COMMON_NAME_LENGTH_MAX)] }]
}

/** In whole seconds, as RFC 5280, section 4.1.2.5 wants it. */
function validity(startMs: number, endMs: number): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: dateOf(Math.floor(startMs / 1000) * 1000),
    notAfter: dateOf(Math.floor(endMs / 1000) * 1000),
  }
}

function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}

function keyPemOf(key: webcrypto.CryptoKey): string {
  return pkcs8Of(KeyObject.from(key))
}

export function pkcs8Of(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** dfdaemon 1.x wrote a PKCS #1 key between the lines of a PKCS #8 one. */
export function parseKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    const base64 = /-----BEGIN PRIVATE KEY-----([\s\S]+)-----END PRIVATE KEY-----/.exec(pem)?.[1]
    if (base64 === undefined) throw cause
    return createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs1' })
  }
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): Authority['algorithm'] {
  if (asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  if (asymmetricKeyType === 'ed25519') return { name: 'Ed25519' }
  const curve = CURVES[asymmetricKeyDetails?.namedCurve ?? '']
  if (curve === undefined) throw invalid(`a key of type ${asymmetricKeyType} is none that we can sign with`)
  return { name: 'ECDSA', ...curve }
}

const CURVES: Readonly<Record<string, { namedCurve: string; hash: string }>> = {
  prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
  secp521r1: { namedCurve: 'P-521', hash: 'SHA-512' },
}

function orInvalid<T>(message: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw invalid(message, cause)
  }
}

function invalid(message: string, cause?: unknown): DragonflyError {
  return new DragonflyError('CONFIG_INVALID', `hijack_https: ${message}`, { cause })
}
