import type { Digest } from '../core/digest.ts'
import type { ErrorCode } from '../core/error.ts'
import type { TaskId } from '../core/task-id.ts'

/**
 * The account's own socket between the dfget command and its resident peer: HTTP, `POST /downloads` with a JSON body, answered by one
 * JSON object per line until `complete` or `failed`. `curl --unix-socket` works.
 */

export type DownloadRequest = {
  url: string
  headers: [string, string][]
  /** Name of the target file; the peer names its copy after it and never opens the target. */
  name: string
  tag: string
  digest: string | null
  /** Whether the result must have the whole content's digest; it costs a pass over the content where nobody has computed it yet. */
  wantsDigest?: boolean
  /** Supernodes, `host:port`, in the order in which to try them. */
  nodes: string[]
}

export type BytesBySource = { origin: number; supernode: number; peers: number; local: number }

export type RunSnapshot = {
  taskId: TaskId
  phase: string
  lengthBytes: number | null
  heldBytes: number
  bytes: BytesBySource
  rateBytesPerSecond: number
  /** Why nothing is on its way at this moment, or null. */
  waiting: string | null
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
}

export type LocalEvent =
  | { event: 'progress'; progress: RunSnapshot }
  | { event: 'complete'; result: RunResult }
  | { event: 'failed'; code: ErrorCode; message: string; hint: string }

export type PeerStatus = {
  version: string
  pid: number
  uploadPort: number
  sentBytes: number
  tasks: RunSnapshot[]
}
