import { createHash } from 'node:crypto'
import { DragonflyError } from '../core/error.ts'
import { encodeHex } from '../core/hex.ts'
import { hashContent } from '../store/hash-content.ts'
import type { TaskFile } from '../store/task-file.ts'

/**
 * Reads complete content through once and compares its MD5. It says what a command was promised, and nothing about pieces: those are
 * verified by SHA-256 as they come.
 * @throws the signal's reason; DragonflyError DIGEST_MISMATCH, DISK_ERROR
 */
export async function verifyMd5(file: TaskFile, expected: string, signal: AbortSignal): Promise<void> {
  const found = encodeHex(await hashContent(file, createHash('md5'), signal))
  if (found === expected) return
  throw new DragonflyError('DIGEST_MISMATCH', `the content is md5:${found}, expected was md5:${expected}`)
}
