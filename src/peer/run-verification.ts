import type { Digest } from '../core/digest.ts'
import { DragonflyError } from '../core/error.ts'
import type { TaskFile } from '../store/task-file.ts'
import type { ContentHash } from './content-hash.ts'

type Promised = {
  readonly expectedDigest: Digest | null
  /** What the supernode says of the whole. */
  readonly knownDigest: Digest | null
  /** Where the whole went by in one piece. */
  digestOfStream(lengthBytes: number | null): Digest | null
  /** As far as it is computed already; null only where nothing is expected. */
  readonly hash: ContentHash | null
}

/**
 * The whole content's digest, as far as it is known or was promised. What was promised is computed; otherwise the pieces' digests say
 * enough, and the whole's is not worth a pass.
 * @throws DragonflyError DIGEST_MISMATCH, DISK_ERROR
 */
export async function verifyContent(file: TaskFile, promised: Promised): Promise<Digest | null> {
  if (!(await file.isUntouched())) {
    throw new DragonflyError('DISK_ERROR', `${file.path} was changed by somebody else`)
  }
  const digest = await wholeDigest(file, promised)
  const { expectedDigest } = promised
  if (expectedDigest !== null && digest !== expectedDigest) {
    throw new DragonflyError('DIGEST_MISMATCH', `the content is ${digest}, expected was ${expectedDigest}`)
  }
  return digest
}

async function wholeDigest(file: TaskFile, promised: Promised): Promise<Digest | null> {
  if (file.isComplete && file.digest) return file.digest
  if (promised.expectedDigest === null) return promised.knownDigest
  const streamed = promised.digestOfStream(file.layout.lengthBytes)
  return streamed ?? promised.hash!.digest(file)
}
