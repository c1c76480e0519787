import type { Bitmap } from '../core/bitmap.ts'
import type { Random } from '../core/random.ts'
import type { Version } from '../core/version.ts'
import type { Reader } from './reader.ts'

export type DownloadLimits = {
  /** Pieces on their way at once when the peer schedules for itself. */
  readonly window: number
  readonly perSource: number
  /** How long a lost supernode is awaited before the origin is asked; jittered. */
  readonly graceMs: number
  /** A supernode that has let the peer in counts as lost without any message about the task for so long; it sends a status meanwhile. */
  readonly silenceMs: number
  /**
   * Alone and without any byte for so long: the download fails. With a supernode but without the layout, or without any byte to the peer
   * or the CDN, for twice as long: the peer goes on alone. It waits longer than the CDN, whose origin may take a minute to answer, so
   * that the CDN can say what is wrong. Bytes that end in failure again and again do not count.
   */
  readonly stallMs: number
  /** Tries at the origin without a new piece in between. */
  readonly originTries: number
}

/** Stalls that a peer waits through as long as the supernode is there. */
export const SUPERNODE_STALLS = 2

export const DEFAULT_LIMITS: DownloadLimits = {
  window: 8,
  perSource: 2,
  graceMs: 2_000,
  silenceMs: 20_000,
  stallMs: 60_000,
  originTries: 3,
}

/** What an earlier run left, every piece of it verified. */
export type StoredContent = {
  readonly version: Version
  readonly held: Bitmap
  readonly knownDigests: Iterable<number>
}

export type DownloadStart = {
  /** False where nothing must be read from the origin; what the supernode cannot give is an error then. */
  readonly mayReadOrigin?: boolean
  readonly hasSupernode: boolean
  /** Who reads it meanwhile; null or absent is nobody. */
  readonly reader?: Reader | null
  readonly stored: StoredContent | null
  readonly limits: DownloadLimits
  readonly random: Random
}
