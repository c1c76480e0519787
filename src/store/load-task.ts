import { Bitmap } from '../core/bitmap.ts'
import { type Sha256, sameBytes } from '../core/digest.ts'
import { PieceDigests } from '../core/piece-digests.ts'
import { type PieceLayout, pieceBytes, pieceCount } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'
import {
  closeFile,
  OPEN_TO_READ,
  OPEN_TO_WRITE,
  openFile,
  readFully,
  removeFile,
  statDescriptor,
  statPath,
  truncateFile,
} from './disk.ts'
import { errnoOf } from './disk-error.ts'
import { fingerprintOf, sameFingerprint } from './fingerprint.ts'
import { Journal } from './journal.ts'
import type { StorePlaces } from './places.ts'
import { type Completion, encodeCompletion, type TaskRecord } from './record.ts'
import { readRecord } from './record-file.ts'
import type { Tail, TaskContent } from './task-content.ts'

export type LoadOptions = {
  readonly places: StorePlaces
  readonly sha256: Sha256
  readonly log: (event: string, facts: object) => void
  /** Ends the reading back of pieces with its reason. */
  readonly signal: AbortSignal
}

/**
 * Restores a task from disk with nothing but verified pieces in it; null where there is nothing to restore.
 *
 * The content of a complete task is the same file as the user's, so it is opened for reading only. If it was edited (its fingerprint
 * differs) and a piece of it does not verify any more, our name of it is removed. The same goes for content that lies at the place for
 * complete tasks, or has a second name, without a record of its completion: the power may have failed before that reached the disk.
 */
export async function loadTask(taskId: TaskId, options: LoadOptions): Promise<TaskContent | null> {
  const { places, log } = options
  const recordPath = places.recordPath(taskId)
  const stored = await readRecord(recordPath)
  if (stored.kind === 'absent') return null
  if (stored.kind === 'unknown version') {
    log('record of unknown version left alone', { taskId, recordPath, version: stored.version })
    return null
  }
  if (stored.kind === 'malformed' || stored.record.header.taskId !== taskId) {
    log('malformed record ignored', { taskId, recordPath })
    return null
  }
  const content = await restore(stored.record, options)
  if (content === null) await removeContent(places, stored.record)
  return content
}

/** Our names of a task's content and its record. */
export async function removeContent(places: StorePlaces, record: TaskRecord): Promise<void> {
  await removeFile(places.partialPath(record.header))
  await removeFile(places.sharedPath(record.header))
  await removeFile(places.recordPath(record.header.taskId))
}

async function restore(record: TaskRecord, options: LoadOptions): Promise<TaskContent | null> {
  const { places, log } = options
  const { header } = record
  const found = await openContent(record, places)
  if (found === null) {
    log('record without content dropped', { taskId: header.taskId })
    return null
  }
  try {
    const content = await verify(record, found, options)
    if (content === null) await closeFile(found.descriptor)
    return content
  } catch (error) {
    await closeFile(found.descriptor)
    throw error
  }
}

type Found = { readonly descriptor: number; readonly path: string; readonly isWritable: boolean }

/** A missing file, a link, a thing that is no file or that we may not open all count as nothing. */
async function openContent(record: TaskRecord, places: StorePlaces): Promise<Found | null> {
  const partialPath = places.partialPath(record.header)
  const sharedPath = places.sharedPath(record.header)
  const partial = record.completion === null ? await statPath(partialPath) : null
  const isWritable = partial?.nlink === 1n
  const path = partial === null ? sharedPath : partialPath
  if (partial === null && partialPath === sharedPath && record.completion === null) return null
  let descriptor: number
  try {
    descriptor = await openFile(path, isWritable ? OPEN_TO_WRITE : OPEN_TO_READ)
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'EACCES', 'EPERM', 'EISDIR', 'ENXIO'].includes(errnoOf(error))) return null
    throw error
  }
  const stats = await statDescriptor(descriptor)
  if (stats.isFile()) return { descriptor, path, isWritable }
  await closeFile(descriptor)
  return null
}

async function verify(record: TaskRecord, found: Found, options: LoadOptions): Promise<TaskContent | null> {
  const { completion, layout } = record
  const { taskId } = record.header
  const fingerprint = fingerprintOf(await statDescriptor(found.descriptor))
  const journal = new Journal(options.places.recordPath(taskId), record.trustedBytes)
  const base = {
    header: record.header,
    layout,
    completion,
    journal,
    path: found.path,
    descriptor: found.descriptor,
  }
  if (completion && sameFingerprint(completion.fingerprint, fingerprint)) {
    return { ...base, held: allPieces(layout), digests: record.digests, tail: null }
  }
  const { dropped, ...verified } = await verifyPieces(record, found.descriptor, options)
  if (dropped > 0) options.log('pieces that do not verify dropped', { taskId, pieces: dropped })
  if (found.isWritable) {
    const isTooLong = layout.lengthBytes !== null && fingerprint.size > layout.lengthBytes
    if (isTooLong) await truncateFile(found.descriptor, layout.lengthBytes)
    return { ...base, ...verified }
  }
  if (!verified.held.isFull || fingerprint.size !== layout.lengthBytes) {
    options.log('changed shared copy dropped', { taskId })
    return null
  }
  if (completion === null) return { ...base, ...verified }
  const renewed: Completion = { fingerprint, digest: completion.digest }
  await appendAlone(journal, encodeCompletion(renewed))
  return { ...base, ...verified, completion: renewed }
}

async function appendAlone(journal: Journal, line: string): Promise<void> {
  try {
    await journal.append(line)
  } finally {
    await journal.close()
  }
}

function allPieces(layout: PieceLayout): Bitmap {
  const held = new Bitmap(pieceCount(layout))
  for (let index = 0; index < held.size; index++) held.add(index)
  return held
}

type Verified = Pick<TaskContent, 'held' | 'digests' | 'tail'> & { readonly dropped: number }

/** Reads every recorded piece back; one piece length of memory. */
async function verifyPieces(
  record: TaskRecord,
  descriptor: number,
  { sha256, signal }: LoadOptions,
): Promise<Verified> {
  const { layout } = record
  const held = new Bitmap(layout.lengthBytes === null ? 0 : pieceCount(layout))
  const digests = new PieceDigests()
  const buffer = new Uint8Array(Math.min(layout.pieceLength, layout.lengthBytes ?? layout.pieceLength))
  let dropped = 0
  let tail: Tail | null = null
  for (const index of record.digests.known()) {
    signal.throwIfAborted()
    const wanted = layout.lengthBytes === null ? layout.pieceLength : pieceBytes(layout, index)
    const count = await readFully(descriptor, buffer.subarray(0, wanted), index * layout.pieceLength)
    const digest = record.digests.get(index)!
    const isWhole = layout.lengthBytes === null ? count > 0 : count === wanted
    if (!isWhole || !sameBytes(sha256(buffer.subarray(0, count)), digest)) {
      dropped++
      continue
    }
    if (count < wanted) tail = { index, lengthBytes: count }
    if (index >= held.size) held.resize(index + 1)
    held.add(index)
    digests.set(index, digest, record.digests.prefix(index))
  }
  return { held, digests, tail, dropped }
}
