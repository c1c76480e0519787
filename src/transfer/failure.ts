import { ERROR_TABLE, type ErrorCode } from '../core/error.ts'

/** What a code means for a download that meets it. */

/** The source sent something else than the piece. */
export function isLie(code: ErrorCode): boolean {
  return code === 'DIGEST_MISMATCH' || code === 'PROTOCOL_INVALID'
}

/** The supernode cannot go on, which says nothing about the content; its own end looks like a cancellation. */
export function isOfSupernode(code: ErrorCode): boolean {
  return code.startsWith('SUPERNODE_') || OF_SUPERNODE.has(code)
}

/** The origin may be asked again. */
export function mayAskOriginAgain(code: ErrorCode): boolean {
  return ERROR_TABLE[code].isRetryable && code !== 'ORIGIN_CHANGED'
}

/** No later run can use what was received, or it is with the CDN that met this failure of the origin, for all. */
export function isDiscarding(code: ErrorCode, isWithCdn: boolean): boolean {
  return USELESS.has(code) || (isWithCdn && code.startsWith('ORIGIN_'))
}

const OF_SUPERNODE: ReadonlySet<ErrorCode> = new Set(['DISK_FULL', 'DISK_ERROR', 'INTERNAL', 'CANCELLED'])

const USELESS: ReadonlySet<ErrorCode> = new Set([
  'ORIGIN_CHANGED',
  'ORIGIN_NOT_FOUND',
  'ORIGIN_REFUSED',
  'ORIGIN_UNAUTHORIZED',
  'DIGEST_MISMATCH',
])
