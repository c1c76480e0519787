import type { Digest, Sha256 } from './digest.ts'
import { encodeHex } from './hex.ts'
import { encodeUtf8 } from './text.ts'

/** What an origin says to tell versions of its content apart (RFC 9110, section 8.8). */
export type Validator = {
  readonly etag: string | null
  readonly lastModified: string | null
}

/**
 * Names one version of a task's content; pieces of different generations never mix. Derived from what the origin says, so that every
 * supernode and every restart arrives at the same name.
 */
export type Generation = string & { readonly __brand: 'Generation' }

export const NO_VALIDATOR: Validator = { etag: null, lastModified: null }

export function isGeneration(value: unknown): value is Generation {
  return typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)
}

export function hasValidator(validator: Validator): boolean {
  return validator.etag !== null || validator.lastModified !== null
}

export type GenerationSource = {
  /** Content named by its digest has one generation for ever. */
  readonly expectedDigest?: Digest
  readonly validator: Validator
  readonly lengthBytes: number | null
  /** Used where the origin gives nothing to go by: such content is its own generation each time. */
  readonly nonce: string
}

export function generationOf(source: GenerationSource, sha256: Sha256): Generation {
  const { expectedDigest, validator } = source
  const name = expectedDigest
    ? ['digest', expectedDigest]
    : validator.etag !== null
      ? ['etag', validator.etag]
      : validator.lastModified !== null
        ? ['last-modified', validator.lastModified, source.lengthBytes]
        : ['nonce', source.nonce]
  return encodeHex(sha256(encodeUtf8(JSON.stringify(name)))).slice(0, 16) as Generation
}
