import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { DragonflyError } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import { userAgentOf } from '../ops/version.ts'
import { nameOfDisposition } from '../origin/content-disposition.ts'
import { createOrigins } from '../origin/origin.ts'
import { taskRequestOf } from '../peer/task-request.ts'
import type { DownloadRequest } from '../wire/local.ts'
import { ORIGIN_TIMEOUTS } from './defaults.ts'

/**
 * Where the content goes if the origin says what it is called: one small request, before the download. Null where it does not say. A file
 * that is there already is not replaced under a name that somebody else has chosen.
 * @throws DragonflyError ORIGIN_*, OUTPUT_INVALID, CANCELLED
 */
export async function outputFromOrigin(
  request: DownloadRequest,
  signal: AbortSignal,
): Promise<string | null> {
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
  const { url, headers, proxies } = taskRequestOf(request, sha256)
  const origins = createOrigins({
    clock: systemClock,
    timeouts: ORIGIN_TIMEOUTS,
    userAgent: userAgentOf('dfget'),
  })
  const { contentDisposition } = await origins.probe({ url, headers, proxies, signal })
  const name = contentDisposition ? nameOfDisposition(contentDisposition) : null
  if (name === null) return null
  const output = path.resolve(name)
  if (await stat(output).catch(() => null)) {
    throw new DragonflyError('OUTPUT_INVALID', `${output}, as the origin calls it, is there already; say -o`)
  }
  return output
}
