import { rangeOf } from '../core/caller.ts'
import { parseDigest, type Sha256 } from '../core/digest.ts'
import { DragonflyError } from '../core/error.ts'
import { taskIdOf } from '../core/task-id.ts'
import { writeTaskUrl } from '../core/task-url.ts'
import { authorityFields } from '../origin/trust.ts'
import type { DownloadRequest } from '../wire/local.ts'
import type { TaskRequest } from './engine.ts'

/**
 * What a command asks for as a task: which one it is, and what its URL and headers say to whoever fetches it.
 * @throws DragonflyError USAGE
 */
export function taskRequestOf(request: DownloadRequest, sha256: Sha256): TaskRequest {
  if (!/^https?:\/\/[^/]/i.test(request.url)) {
    throw new DragonflyError('USAGE', 'the URL must begin with http:// or https:// and name a host')
  }
  const { tag, name, filter = [], authorities = null, isInsecure = false } = request
  const expectedDigest = request.digest === null ? null : parseDigest(request.digest)
  const further = authorities === null || isInsecure ? null : authorityFields(authorities)
  const trust = isInsecure ? 'any' : (further?.trust ?? '')
  const url = writeTaskUrl(request.url, { filter, trust })
  const headers = [...request.headers, ...(further?.fields ?? [])]
  const range = rangeOf(headers)
  const identity = { url, tag, expectedDigest: expectedDigest ?? undefined, range: range ?? undefined }
  const { mayReadOrigin, lookAhead, readFrom = 0, proxies, waitsForDisk } = request
  const reader = lookAhead === undefined ? null : { lookAhead, fromByte: readFrom }
  const isSeedOnly = request.pattern === 'cdn'
  const taskId = taskIdOf(identity, sha256)
  const how = { isSeedOnly, mayReadOrigin, reader, proxies, waitsForDisk }
  return { taskId, url, headers, name, tag, expectedDigest, range, ...how }
}
