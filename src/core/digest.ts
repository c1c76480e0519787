import { assert } from './assert.ts'
import { DragonflyError } from './error.ts'
import { decodeHex, encodeHex } from './hex.ts'

/** `sha256:<64 lower-case hex>`; as in the OCI image specification, "Digests". */
export type Digest = string & { readonly __brand: 'Digest' }

/** SHA-256 of `bytes`, 32 bytes. Handed in by the edge, so that the pure rooms need no implementation. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array

export const DIGEST_BYTES = 32

export function isDigest(value: unknown): value is Digest {
  return typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value)
}

/**
 * Accepts `sha256:<hex>` in any case.
 * @throws DragonflyError USAGE
 */
export function parseDigest(text: string): Digest {
  const lower = text.trim().toLowerCase()
  if (!isDigest(lower)) {
    throw new DragonflyError('USAGE', `"${text}" is not a digest; write it like sha256:<64 hex digits>`)
  }
  return lower
}

export function digestOf(bytes: Uint8Array): Digest {
  assert(bytes.length === DIGEST_BYTES, 'digest is 32 bytes')
  return `sha256:${encodeHex(bytes)}` as Digest
}

export function digestBytes(digest: Digest): Uint8Array {
  return decodeHex(digest.slice('sha256:'.length))
}

/** Whether what came is what somebody trustworthy said would come. What nobody vouched for is not. */
export function isVouchedFor(expected: Uint8Array | null | undefined, digest: Uint8Array): boolean {
  return expected != null && sameBytes(expected, digest)
}

/** Digests are public, so an early exit tells nothing; tokens need a constant-time compare. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
