import type { Digest } from '../core/digest.ts'
import type { Version } from '../core/version.ts'
import type { TaskFile } from '../store/task-file.ts'
import type { TaskLink, TaskLinkHandler } from './task-link.ts'

/** What whoever begins a run is told of it. */
export type RunObserver = {
  /** The version is settled and has its place on disk. */
  onVersion?(version: Version): void
  /** A verified piece is on disk and may be offered to others. */
  onPiece?(piece: number, digest: Uint8Array): void
  onLength?(lengthBytes: number): void
  /** All bytes are verified; only syncing and moving are left. */
  onDigest?(digest: Digest): void
}

export type RunOptions = {
  readonly observer?: RunObserver
  /** Makes the link to the supernode; without it there is none. */
  readonly openLink?: (handler: TaskLinkHandler) => TaskLink
  /** Whether the run may go on from what is stored, if the origin or the supernode says that it is the present version. */
  readonly mayUse?: (file: TaskFile) => Promise<boolean>
}
