import type { TaskFile } from '../store/task-file.ts'
import type { Readable } from '../wire/local.ts'
import type { DownloadRun } from './download-run.ts'

/** How much of the content is there without a gap from a byte on, every piece of it verified; null before the version is settled. */
export function readableStretch(
  { version, file, isWhole }: Pick<DownloadRun, 'version' | 'file' | 'isWhole'>,
  fromByte: number,
): Readable | null {
  if (version === null || file === null || file.generation !== version.generation) return null
  const endByte = endOfHeld(file, fromByte)
  return { path: file.path, generation: version.generation, endByte, isWhole }
}

/** Up to where (exclusive) all bytes from this one on are held; itself where it is not. */
export function endOfHeld(file: Pick<TaskFile, 'held' | 'layout' | 'holdsRange'>, fromByte: number): number {
  const { pieceLength, lengthBytes } = file.layout
  const end = file.held.firstMissing(Math.floor(fromByte / pieceLength)) * pieceLength
  if (lengthBytes !== null) return Math.max(fromByte, Math.min(end, lengthBytes))
  // The last piece that is here may be the short one at the end.
  const isLastWhole = file.holdsRange(end - pieceLength, end)
  return Math.max(fromByte, isLastWhole ? end : end - pieceLength)
}
