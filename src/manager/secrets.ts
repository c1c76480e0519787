import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** Secrets that are given away once, and of which only the SHA-256 is kept. 256 random bits need no slower hash. */

const SECRET_BYTES = 32

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url')
}

export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** Whether it is the secret with this hash. One of which there is no hash takes the same work. */
export function isSecretOf(presented: string, hash: string | null): boolean {
  const expected = hash === null ? NO_SECRET : Buffer.from(hash, 'hex')
  return timingSafeEqual(createHash('sha256').update(presented).digest(), expected) && hash !== null
}

/** What an `Authorization` header carries (RFC 6750, section 2.1), else nothing. */
export function bearerOf(authorization: string | undefined): string {
  return /^Bearer +([\w.~+/-]{1,256}=*)$/i.exec(authorization ?? '')?.[1] ?? ''
}

const NO_SECRET = randomBytes(32)
