import { DIGEST_BYTES } from '../core/digest.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Version } from '../core/version.ts'
import type { SupernodeMessages } from '../wire/control.ts'

/** What a member is told of a version, before any digest is known. */
export function layoutMessage(
  taskId: TaskId,
  { generation, layout, validator }: Version,
  token: string,
): SupernodeMessages['layout'] {
  return {
    type: 'layout',
    taskId,
    generation,
    lengthBytes: layout.lengthBytes,
    pieceLength: layout.pieceLength,
    token,
    digest: null,
    etag: validator.etag,
    lastModified: validator.lastModified,
    pieces: [],
    digests: new Uint8Array(0),
    inline: null,
    originRank: null,
    originReaders: null,
  }
}

/** Digests of these pieces, one after the other, as messages carry them. */
export function packDigests(
  pieces: number[],
  digestOf: (piece: number) => Uint8Array,
): { pieces: number[]; digests: Uint8Array } {
  const digests = new Uint8Array(pieces.length * DIGEST_BYTES)
  pieces.forEach((piece, i) => {
    digests.set(digestOf(piece), i * DIGEST_BYTES)
  })
  return { pieces, digests }
}
