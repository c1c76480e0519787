import type { Readable } from '../wire/local.ts'
import type { DownloadRun } from './download-run.ts'

/** How much of the content is there without a gap, every piece of it verified; null before the version is settled. */
export function readablePrefix({ version, file }: Pick<DownloadRun, 'version' | 'file'>): Readable | null {
  if (version === null || file === null || file.generation !== version.generation) return null
  const { pieceLength, lengthBytes } = file.layout
  const bytes = file.held.firstMissing() * pieceLength
  return {
    path: file.path,
    generation: version.generation,
    endByte: lengthBytes === null ? bytes : Math.min(bytes, lengthBytes),
  }
}
