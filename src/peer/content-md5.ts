import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { DragonflyError } from '../core/error.ts'

/**
 * Reads complete content through once and compares its MD5. It says what a command was promised, and nothing about pieces: those are
 * verified by SHA-256 as they come.
 * @throws DragonflyError DIGEST_MISMATCH, DISK_ERROR, CANCELLED
 */
export async function verifyMd5(file: string, expected: string, signal: AbortSignal): Promise<void> {
  const hash = createHash('md5')
  try {
    await pipeline(createReadStream(file, { highWaterMark: BLOCK_BYTES }), hash, { signal })
  } catch (cause) {
    if (signal.aborted) throw new DragonflyError('CANCELLED', 'nobody waits for the content', { cause })
    throw new DragonflyError('DISK_ERROR', `${file} cannot be read: ${(cause as Error).message}`, { cause })
  }
  const found = hash.digest('hex')
  if (found === expected) return
  throw new DragonflyError('DIGEST_MISMATCH', `the content is md5:${found}, expected was md5:${expected}`)
}

const BLOCK_BYTES = 1024 * 1024
