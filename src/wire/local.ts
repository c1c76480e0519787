import type { Digest } from '../core/digest.ts'
import type { ErrorCode } from '../core/error.ts'
import type { TaskId } from '../core/task-id.ts'

/**
 * The account's own socket between the dfget command and its resident peer: HTTP, `POST /downloads` with a JSON body, answered by one
 * JSON object per line until `complete` or `failed`. `curl --unix-socket` works.
 */

/** The release of the command that asks. A peer of an older one serves it no more, and makes room when it is asked to finish. */
export const RELEASE_HEADER = 'dragonfly-release'

export type DownloadRequest = {
  url: string
  headers: [string, string][]
  /** Name of the target file; the peer names its copy after it and never opens the target. */
  name: string
  tag: string
  digest: string | null
  /** 32 lower-case hex digits that the MD5 of the whole content must be. Beside the digest, and never in its place. */
  md5?: string | null
  /** Names of query parameters that do not select content, beside those of known signatures. */
  filter?: string[]
  /** PEM text of further certificate authorities that may vouch for the origin, or null. */
  authorities?: string | null
  /** Whether the origin's certificate is not checked. */
  isInsecure?: boolean
  /** Who asks, for the log. */
  callSystem?: string
  /** Whether the result must have the whole content's digest; it costs a pass over the content where nobody has computed it yet. */
  wantsDigest?: boolean
  /** Where pieces may come from: from anybody, or from the supernode alone. Without `nodes` and `managers` they come from the origin. */
  pattern?: 'p2p' | 'cdn'
  /** False where this host must not read the origin itself. */
  mayReadOrigin?: boolean
  /** Bytes per second that this download may receive; null is what is usual at this peer. */
  localLimit?: number | null
  /** Bytes per second below which the download is given up; null is none. */
  minRate?: number | null
  /** Through whom this host asks the origin, by the origin's scheme, and which hosts directly; see `net/proxy.ts`. */
  proxies?: { http: string | null; https: string | null; except: string[] } | null
  /** So many pieces are wanted in order, because the content is read while it comes; progress then says how far it may be. */
  lookAhead?: number
  /** Byte of the content where the reader begins; 0 unless said. With `lookAhead` only. */
  readFrom?: number
  /** False where nobody waits until the content is on the disk, but only for its bytes; true unless said. */
  waitsForDisk?: boolean
  /** Supernodes, `host:port`, in the order in which to try them; with `managers` those to try for want of any other. */
  nodes: string[]
  /**
   * Present where the peer is to look for supernodes itself: it asks these managing nodes, `http(s)://host:port`, and those that it
   * remembers, so that the list may be empty. Absent where `nodes` are the only ones; where those are none, there is the origin alone.
   */
  managers?: string[]
}

/** Bytes per second, null is none. Of the whole peer, each for sending and for receiving; and of every download that names none. */
export type LimitStatus = { total: number | null; local: number | null }

/** What is not named stays. */
export type LimitChange = Partial<LimitStatus>

/** In the order in which people are told of them: what a swarm is for comes first. */
export const BYTE_SOURCES = ['peers', 'supernode', 'origin', 'local'] as const

export type BytesBySource = Record<(typeof BYTE_SOURCES)[number], number>

export function totalBytes(bytes: BytesBySource): number {
  return BYTE_SOURCES.reduce((sum, source) => sum + bytes[source], 0)
}

export type RunSnapshot = {
  taskId: TaskId
  phase: string
  lengthBytes: number | null
  heldBytes: number
  bytes: BytesBySource
  rateBytesPerSecond: number
  /** Why nothing is on its way at this moment, or null. */
  waiting: string | null
  /** `host:port` of the supernode that last answered; null before one has. */
  node: string | null
}

export type RunResult = {
  taskId: TaskId
  /** The peer's copy; the command links or copies it to the target while it keeps the connection open. */
  path: string
  lengthBytes: number
  seconds: number
  /** Of the whole content, where it is known: because it was asked for, or somebody had computed it. */
  digest: Digest | null
  bytes: BytesBySource
  sources: number
  retries: number
  waitMs: Partial<Record<string, number>>
  /** Seconds ÷ the least that the best observed rate allows; null where nothing was transferred. */
  boundFactor: number | null
  /** `host:port` of the supernode that last answered; null where none did. */
  node: string | null
}

/**
 * What may be read of an unfinished download: the file's bytes from `readFrom` up to `endByte` (exclusive), each piece of them verified.
 * `isWhole` says that it is the content to its end, and that its digest is verified where one was promised; only syncing and moving are left.
 */
export type Readable = { path: string; generation: string; endByte: number; isWhole: boolean }

export type LocalEvent =
  | { event: 'progress'; progress: RunSnapshot; readable?: Readable | null }
  | { event: 'complete'; result: RunResult }
  | { event: 'failed'; code: ErrorCode; message: string; hint: string }

export type PeerStatus = {
  version: string
  pid: number
  uploadPort: number
  sentBytes: number
  /** Commands that wait for a download, or take it into its place. */
  commands: number
  /** Who wants the peer to stay though it has nothing to do, such as dfdaemon. */
  attendants: number
  /** Takes no new downloads, and ends with the ones that it has. */
  isFinishing: boolean
  limits: LimitStatus
  tasks: RunSnapshot[]
}
