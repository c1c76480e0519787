import { DragonflyError } from '../core/error.ts'

/** No space, or none left in the account's quota. */
const FULL = new Set(['ENOSPC', 'EDQUOT'])

/** The one place where a failure of the file system becomes one of ours: DISK_FULL or DISK_ERROR, with `cause`. */
export function toDiskError(cause: unknown, what: string): DragonflyError {
  if (cause instanceof DragonflyError) return cause
  const errno = errnoOf(cause)
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new DragonflyError(FULL.has(errno) ? 'DISK_FULL' : 'DISK_ERROR', `${what}: ${reason}`, { cause })
}

/** `ENOENT` and the like, of a system error or of a {@link toDiskError} around one; otherwise the empty string. */
export function errnoOf(error: unknown): string {
  if (error instanceof DragonflyError) return errnoOf(error.cause)
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : ''
}
