import { DIGEST_BYTES } from '../core/digest.ts'
import { DragonflyError, type ErrorCode } from '../core/error.ts'
import { isValidLayout, PIECE_COUNT_MAX } from '../core/piece-layout.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Version } from '../core/version.ts'
import type { Download } from '../transfer/download.ts'
import type { OriginShare } from '../transfer/origin-permit.ts'
import type { Reader } from '../transfer/reader.ts'
import type { ReportBatch } from '../transfer/report-batch.ts'
import type { PeerMessages, SupernodeMessages } from '../wire/control.ts'
import type { TaskRequest } from './engine.ts'
import type { TaskLink } from './task-link.ts'

/** Between the words of the control channel and those of the download's state machine. */

/** @throws DragonflyError PROTOCOL_INVALID */
export function versionIn(message: SupernodeMessages['layout']): Version {
  const { generation, lengthBytes, pieceLength, etag, lastModified, inline } = message
  const isInlineWhole = inline === null || (inline.length === lengthBytes && inline.length <= pieceLength)
  if (!isValidLayout(lengthBytes, pieceLength) || !isInlineWhole || inline?.length === 0) {
    throw new DragonflyError('PROTOCOL_INVALID', 'the supernode sent an impossible layout')
  }
  return { generation, validator: { etag, lastModified }, layout: { lengthBytes, pieceLength } }
}

type KnownPiece = { readonly piece: number; readonly digest: Uint8Array; readonly prefix: Uint8Array | null }

/** @throws DragonflyError PROTOCOL_INVALID */
export function digestsIn(
  message: Pick<SupernodeMessages['digests'], 'pieces' | 'digests' | 'prefixes'>,
): KnownPiece[] {
  const { pieces, digests, prefixes } = message
  const lengthBytes = pieces.length * DIGEST_BYTES
  const isFitting = digests.length === lengthBytes && (prefixes ?? digests).length === lengthBytes
  if (!isFitting || pieces.some(piece => piece >= PIECE_COUNT_MAX)) {
    throw new DragonflyError('PROTOCOL_INVALID', 'the supernode sent digests that match no pieces')
  }
  return pieces.map((piece, i) => {
    const [start, end] = [i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES]
    return { piece, digest: digests.subarray(start, end), prefix: prefixes?.subarray(start, end) ?? null }
  })
}

/** The peer's place among those who may read the origin alone, where the supernode gave it one. */
export function originShareIn(message: SupernodeMessages['layout']): { originShare?: OriginShare } {
  const { originRank: rank, originReaders: readers } = message
  return rank === null || !readers ? {} : { originShare: { rank, readers } }
}

export function announceMessage(request: TaskRequest, download: Download): PeerMessages['announce'] {
  const { version, held, reader } = download.content
  return {
    type: 'announce',
    taskId: request.taskId,
    url: request.url,
    headers: [...request.headers],
    tag: request.tag,
    expectedDigest: request.expectedDigest,
    range: request.range,
    generation: version?.generation ?? null,
    lengthBytes: version?.layout.lengthBytes ?? null,
    pieceLength: version?.layout.pieceLength ?? 0,
    held: held.encode(),
    isSeedOnly: request.isSeedOnly ?? false,
    via: null,
    ...readerFields(reader),
  }
}

/**
 * Sources that the present supernode never named are left out: they were assigned by another one, or found alone. One that came back has
 * several numbers; which one was meant the supernode knows.
 */
export function reportMessage(taskId: TaskId, report: ReportBatch, link: TaskLink): PeerMessages['report'] {
  const done: number[] = []
  const fromOrigin = [...report.fromOrigin]
  for (const { piece, source, elapsedMs } of report.done) {
    const numbers = link.numbersOf(source)
    if (numbers.length === 0) fromOrigin.push(piece)
    for (const number of numbers) done.push(piece, number, Math.round(elapsedMs))
  }
  const failed: number[] = []
  const codes: ErrorCode[] = []
  for (const { piece, source, code } of report.failed) {
    if (!codes.includes(code)) codes.push(code)
    for (const number of link.numbersOf(source)) failed.push(piece, number, codes.indexOf(code))
  }
  const released: number[] = []
  for (const { piece, source } of report.released) {
    for (const number of link.numbersOf(source)) released.push(piece, number)
  }
  return {
    type: 'report',
    taskId,
    done,
    failed,
    codes,
    released,
    slow: report.slow,
    fromOrigin,
    ...readerFields(report.reader),
  }
}

function readerFields(reader: Reader | null): Pick<PeerMessages['announce'], 'lookAhead' | 'readFrom'> {
  return { lookAhead: reader?.lookAhead ?? null, readFrom: reader?.fromByte || null }
}
