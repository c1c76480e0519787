/**
 * The record of a task: an append-only journal of JSON lines, the same for peers and supernodes.
 *
 *     {"v":1,"taskId":…,"name":…,"url":…,"generation":…,"etag":…,"lastModified":…,"lengthBytes":…,"pieceLength":…}
 *     {"p":3,"d":"<64 hex>","f":"<64 hex>"}                             piece 3 was written; its SHA-256, and if known that of all from the
 *                                                                       first byte to its last. The last line for a piece counts
 *     {"length":1048577}                                                the length, if the first line has null
 *     {"complete":{"ino":"…","size":…,"mtimeNs":"…","digest":"sha256:…" or null}}   after the last piece; again if re-verified
 *
 * It is a hint about the content, not a proof: who reads it verifies. A line counts once its line feed is there. The first line that
 * is not as above ends the part to trust; what follows is to be overwritten. Another `v` is another format, to be left alone.
 */

import { DIGEST_BYTES, type Digest, isDigest } from '../core/digest.ts'
import { type Generation, isGeneration, type Validator } from '../core/generation.ts'
import { decodeHex, encodeHex } from '../core/hex.ts'
import { PieceDigests } from '../core/piece-digests.ts'
import { isValidLayout, PIECE_COUNT_MAX, type PieceLayout, pieceCount } from '../core/piece-layout.ts'
import { isTaskId, type TaskId } from '../core/task-id.ts'
import { decodeUtf8 } from '../core/text.ts'
import type { Fingerprint } from './fingerprint.ts'

const RECORD_VERSION = 1

export type RecordHeader = {
  readonly taskId: TaskId
  readonly name: string
  readonly url: string
  readonly generation: Generation
  readonly validator: Validator
  /** As known when the task began. */
  readonly layout: PieceLayout
}

export type Completion = { readonly fingerprint: Fingerprint; readonly digest: Digest | null }

export type TaskRecord = {
  readonly header: RecordHeader
  /** With the length from a later line, if there is one. */
  layout: PieceLayout
  readonly digests: PieceDigests
  completion: Completion | null
  /** Bytes of the part to trust. */
  trustedBytes: number
}

export type DecodedRecord =
  | { readonly kind: 'record'; readonly record: TaskRecord }
  | { readonly kind: 'unknown version'; readonly version: number }
  | { readonly kind: 'malformed' }

export function encodeHeader(header: RecordHeader): string {
  const { taskId, name, url, generation, validator, layout } = header
  return encodeLine({
    v: RECORD_VERSION,
    taskId,
    name,
    url,
    generation,
    etag: validator.etag,
    lastModified: validator.lastModified,
    lengthBytes: layout.lengthBytes,
    pieceLength: layout.pieceLength,
  })
}

/** @param prefix the piece's prefix digest */
export function encodePiece(index: number, digest: Uint8Array, prefix: Uint8Array | null): string {
  const known = { p: index, d: encodeHex(digest) }
  return encodeLine(prefix === null ? known : { ...known, f: encodeHex(prefix) })
}

export function encodeLength(lengthBytes: number): string {
  return encodeLine({ length: lengthBytes })
}

/** 64 bits do not fit a number of JSON, so they are decimal text. */
export function encodeCompletion({ fingerprint, digest }: Completion): string {
  const { ino, size, mtimeNs } = fingerprint
  return encodeLine({ complete: { ino: String(ino), size, mtimeNs: String(mtimeNs), digest } })
}

export function decodeRecord(bytes: Uint8Array): DecodedRecord {
  const lines = linesOf(bytes)
  const first = lines.next()
  const fields = first.done ? null : parseLine(first.value.bytes)
  if (first.done || fields === null) return { kind: 'malformed' }
  if (typeof fields.v === 'number' && Number.isSafeInteger(fields.v) && fields.v !== RECORD_VERSION) {
    return { kind: 'unknown version', version: fields.v }
  }
  const header = parseHeader(fields)
  if (header === null) return { kind: 'malformed' }
  const record: TaskRecord = {
    header,
    layout: header.layout,
    digests: new PieceDigests(),
    completion: null,
    trustedBytes: first.value.end,
  }
  for (const line of lines) {
    const entry = parseLine(line.bytes)
    if (entry === null || !applyEntry(record, entry)) break
    record.trustedBytes = line.end
  }
  return { kind: 'record', record }
}

type Fields = Record<string, unknown>

function encodeLine(fields: Fields): string {
  return `${JSON.stringify(fields)}\n`
}

/** Lines that have their line feed; `end` is the position after it. */
function* linesOf(bytes: Uint8Array): Generator<{ bytes: Uint8Array; end: number }> {
  let start = 0
  for (;;) {
    const lineFeed = bytes.indexOf(0x0a, start)
    if (lineFeed < 0) return
    yield { bytes: bytes.subarray(start, lineFeed), end: lineFeed + 1 }
    start = lineFeed + 1
  }
}

function parseLine(bytes: Uint8Array): Fields | null {
  try {
    return asFields(JSON.parse(decodeUtf8(bytes)))
  } catch {
    return null
  }
}

function asFields(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null
}

function parseHeader(fields: Fields): RecordHeader | null {
  const { taskId, name, url, generation, etag, lastModified, lengthBytes, pieceLength } = fields
  if (fields.v !== RECORD_VERSION || !isTaskId(taskId) || !isGeneration(generation)) return null
  if (typeof name !== 'string' || typeof url !== 'string') return null
  if (!isTextOrNull(etag) || !isTextOrNull(lastModified) || !isValidLayout(lengthBytes, pieceLength))
    return null
  const layout = { lengthBytes: lengthBytes as number | null, pieceLength: pieceLength as number }
  return { taskId, name, url, generation, validator: { etag, lastModified }, layout }
}

/** Returns false where the line does not fit what came before it; the record is then unchanged. */
function applyEntry(record: TaskRecord, entry: Fields): boolean {
  if ('complete' in entry) return applyCompletion(record, asFields(entry.complete))
  if (record.completion !== null) return false
  return 'length' in entry ? applyLength(record, entry.length) : applyPiece(record, entry)
}

function applyPiece(record: TaskRecord, { p: index, d: digest, f: prefix = null }: Fields): boolean {
  const count = record.layout.lengthBytes === null ? PIECE_COUNT_MAX : pieceCount(record.layout)
  if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= count) return false
  if (!isDigestInHex(digest) || !(prefix === null || isDigestInHex(prefix))) return false
  record.digests.set(index, decodeHex(digest), prefix === null ? null : decodeHex(prefix))
  return true
}

function isDigestInHex(value: unknown): value is string {
  return typeof value === 'string' && value.length === 2 * DIGEST_BYTES && /^[0-9a-f]+$/.test(value)
}

function applyLength(record: TaskRecord, lengthBytes: unknown): boolean {
  const { pieceLength } = record.layout
  if (record.layout.lengthBytes !== null || lengthBytes === null) return false
  if (!isValidLayout(lengthBytes, pieceLength)) return false
  const layout = { lengthBytes: lengthBytes as number, pieceLength }
  const count = pieceCount(layout)
  for (const index of record.digests.known()) if (index >= count) return false
  record.layout = layout
  return true
}

function applyCompletion(record: TaskRecord, fields: Fields | null): boolean {
  if (fields === null || record.layout.lengthBytes === null) return false
  if (record.digests.count !== pieceCount(record.layout)) return false
  const { ino, size, mtimeNs, digest } = fields
  if (!isDecimal(ino) || !isDecimal(mtimeNs) || size !== record.layout.lengthBytes) return false
  if (digest !== null && !isDigest(digest)) return false
  record.completion = { fingerprint: { ino: BigInt(ino), size, mtimeNs: BigInt(mtimeNs) }, digest }
  return true
}

/** Times before 1970 are negative. */
function isDecimal(value: unknown): value is string {
  return typeof value === 'string' && /^-?\d{1,20}$/.test(value)
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}
