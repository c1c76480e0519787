import type { Digest } from '../core/digest.ts'
import type { ErrorCode } from '../core/error.ts'
import type { Version } from '../core/version.ts'
import type { OriginShare } from './origin-permit.ts'
import type { Reader } from './reader.ts'

/** What happens to a download, and what the download wants done. Both are plain data; the engine in `peer/` connects them to I/O. */

/** `address:port` of whoever sends pieces. */
export type SourceId = string

export type PieceFrom = { readonly piece: number; readonly source: SourceId }

export type DownloadEvent =
  /** What the supernode says about the task; also the sign that it has accepted our announce. */
  | {
      type: 'layout'
      version: Version
      digest: Digest | null
      knownDigests: readonly number[]
      originShare?: OriginShare
    }
  | { type: 'digests'; pieces: readonly number[] }
  | { type: 'assigned'; pieces: readonly PieceFrom[] }
  | { type: 'revoked'; pieces: readonly PieceFrom[] }
  | { type: 'status'; peers: number; originBytes: number }
  /** The supernode ends the task with an error of the origin or of its own. */
  | { type: 'refused'; code: ErrorCode; message: string }
  /** The channel broke; it may come back. */
  | { type: 'supernode-lost' }
  /** No supernode could be reached at all. */
  | { type: 'supernode-unavailable' }
  /** The engine has a place on disk for the version last adopted. */
  | { type: 'prepared' }
  | { type: 'fetched'; piece: number; source: SourceId; bytes: number; elapsedMs: number }
  | { type: 'fetch-failed'; piece: number; source: SourceId; code: ErrorCode }
  /** Pieces that a known source says it holds. */
  | { type: 'source-holds'; source: SourceId; pieces: readonly number[] }
  | { type: 'source-silent'; source: SourceId }
  /** Bytes went by since the last event of this kind; keeps a slow but living transfer from counting as stalled. */
  | { type: 'moved'; bytes: number }
  | { type: 'origin-answered'; kind: 'content' | 'unchanged'; version: Version }
  | { type: 'origin-piece'; piece: number; bytes: number }
  /** The body ended: this is the length that the head did not say. */
  | { type: 'origin-length'; lengthBytes: number }
  | { type: 'origin-ended' }
  | { type: 'origin-failed'; code: ErrorCode; message: string }
  /** Somebody reads from elsewhere than before. */
  | { type: 'reader-moved'; reader: Reader }
  | { type: 'verified'; digest: Digest | null }
  | { type: 'stored-failed'; code: ErrorCode; message: string }
  | { type: 'tick' }
  | { type: 'cancelled' }

/** What the engine itself says; everything else comes from outside. */
export type InsideEvent = Extract<
  DownloadEvent,
  { type: 'prepared' | 'moved' | 'reader-moved' | 'verified' | 'stored-failed' | 'tick' | 'cancelled' }
>

/** What the supernode says, and thereby that it is there. */
export const FROM_SUPERNODE: ReadonlySet<DownloadEvent['type']> = new Set([
  'layout',
  'digests',
  'assigned',
  'revoked',
  'status',
  'refused',
])

/** While there is no place on disk yet, everything else waits its turn, so that events keep their order. */
export const HANDLED_WHILE_PREPARING: ReadonlySet<DownloadEvent['type']> = new Set([
  'prepared',
  'digests',
  'moved',
  'reader-moved',
  'tick',
  'stored-failed',
  'cancelled',
])

export type OriginMode =
  /** Ask for everything. */
  | 'fresh'
  /** Ask for the missing stretch, on condition that the version is still the same. */
  | 'resume'
  /** Everything is held; ask whether it is still current. */
  | 'revalidate'

export type DownloadEffect =
  | { type: 'announce' }
  /** Make a place for this version; whatever is stored of another one is discarded. */
  | { type: 'adopt'; version: Version }
  | { type: 'seal'; lengthBytes: number }
  | { type: 'fetch'; piece: number; source: SourceId }
  | { type: 'cancel-fetch'; piece: number; source: SourceId }
  | { type: 'ask-held'; source: SourceId }
  | { type: 'open-origin'; mode: OriginMode; fromPiece: number; untilPiece: number | null }
  | { type: 'close-origin' }
  | { type: 'verify' }
  | { type: 'complete'; digest: Digest | null }
  | { type: 'fail'; code: ErrorCode; message: string; isDiscarded: boolean }

/** Why nothing was on its way. */
export type WaitReason = 'supernode' | 'layout' | 'schedule' | 'origin' | 'backoff' | 'disk' | 'digest'
