import * as z from 'zod'
import { DragonflyError, type ErrorCode, isErrorCode } from '../core/error.ts'
import { redactUrl } from '../core/filter-url.ts'
import type { RunResult } from '../wire/local.ts'
import type { DownloadRun } from './download-run.ts'
import { TIME_REASONS } from './run-times.ts'

/** What stays of a run: one line of JSON in `meta/downloads.jsonl`, for `dfget explain`. */

const VERSION = 1

const count = z.number().int().nonnegative()
const text = z.string().max(20_000)
const errorCode = z.custom<ErrorCode>(isErrorCode)

const runRecord = z.object({
  v: z.literal(VERSION),
  taskId: z.string().regex(/^[0-9a-f]{64}$/),
  /** Redacted. */
  url: text,
  name: text,
  /** Milliseconds since the Unix epoch. */
  startedAt: z.number(),
  durationMs: count,
  /** Adds up to `durationMs`. */
  timeMs: z.partialRecord(z.enum(TIME_REASONS), count),
  /** The supernode that last answered. */
  node: text.nullable(),
  lengthBytes: count.nullable(),
  digest: text.nullable(),
  /** Null where the run succeeded. */
  failure: z.object({ code: errorCode, message: text }).nullable(),
  /** As they count for the content: a piece that came twice counts once. */
  bytes: z.object({ origin: count, supernode: count, peers: count, local: count }),
  sources: z.array(
    z.object({
      address: text,
      kind: z.enum(['origin', 'supernode', 'peer']),
      bytes: count,
      pieces: count,
      receiveMs: count,
    }),
  ),
  /** Those beyond the list. */
  otherSources: z.object({ count, bytes: count }),
  retries: z.array(z.object({ source: text, code: errorCode, count })),
  retryCount: count,
})

export type RunRecord = z.infer<typeof runRecord>

const MESSAGE_MAX = 1_000

/** Of a run that is over. */
export function recordOf(run: DownloadRun, end: RunResult | DragonflyError): RunRecord {
  const { taskId, url, name } = run.request
  const { bytes, lengthBytes, node } = run.snapshot()
  const failure =
    end instanceof DragonflyError ? { code: end.code, message: end.message.slice(0, MESSAGE_MAX) } : null
  return {
    v: VERSION,
    taskId,
    url: redactUrl(url).slice(0, 16_384),
    name,
    startedAt: run.journal.startedWallMs,
    node,
    lengthBytes,
    digest: end instanceof DragonflyError ? null : end.digest,
    failure,
    bytes,
    ...run.journal.summary(),
  }
}

/** The runs of such a file, oldest first. Lines that are damaged, or of a version to come, are passed over. */
export function parseRecords(content: string): RunRecord[] {
  return content.split('\n').flatMap(line => {
    try {
      const parsed = runRecord.safeParse(JSON.parse(line))
      return parsed.success ? [parsed.data] : []
    } catch {
      return []
    }
  })
}
