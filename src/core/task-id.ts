import { assert } from './assert.ts'
import { type Digest, digestBytes, type Sha256 } from './digest.ts'
import { filterUrl } from './filter-url.ts'
import { encodeHex } from './hex.ts'
import { concatBytes, encodeUtf8 } from './text.ts'

/** 64 lower-case hex digits. */
export type TaskId = string & { readonly __brand: 'TaskId' }

/** What makes two requests the same task. */
export type TaskIdentity = {
  /** As the caller gave it; signature parameters are dropped here. */
  readonly url: string
  /** Tells apart what shares a URL. */
  readonly tag?: string
  readonly expectedDigest?: Digest
  /** Value of the caller's `Range` header, if there is one. */
  readonly range?: string
}

const IDENTITY_VERSION = 1
const KIND_URL = 0
const KIND_DIGEST = 1

export function isTaskId(value: unknown): value is TaskId {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

/**
 * SHA-256 over a version byte, a kind byte and length-prefixed fields. Content named by its digest is identified by the digest alone
 * (and the range, if only a part of it is wanted), wherever it comes from.
 */
export function taskIdOf(identity: TaskIdentity, sha256: Sha256): TaskId {
  return encodeHex(sha256(encodeIdentity(identity))) as TaskId
}

function encodeIdentity(identity: TaskIdentity): Uint8Array {
  const range = encodeUtf8(identity.range ?? '')
  if (identity.expectedDigest !== undefined) {
    return frame(KIND_DIGEST, [digestBytes(identity.expectedDigest), range])
  }
  return frame(KIND_URL, [encodeUtf8(filterUrl(identity.url).url), encodeUtf8(identity.tag ?? ''), range])
}

function frame(kind: number, fields: Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(IDENTITY_VERSION, kind)]
  for (const field of fields) {
    assert(field.length < 2 ** 32, 'field length fits its prefix')
    const prefix = new Uint8Array(4)
    new DataView(prefix.buffer).setUint32(0, field.length)
    parts.push(prefix, field)
  }
  return concatBytes(parts)
}
