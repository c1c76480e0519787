import { DIGEST_BYTES } from '../core/digest.ts'
import type { PieceDigests } from '../core/piece-digests.ts'
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
    prefixes: null,
  }
}

/** What is known of these pieces, one after the other, as messages carry it. Their digests are known. */
export function packDigests(
  pieces: number[],
  known: Pick<PieceDigests, 'get' | 'prefix'>,
): Pick<SupernodeMessages['digests'], 'pieces' | 'digests' | 'prefixes'> {
  return {
    pieces,
    digests: packed(pieces, piece => known.get(piece)!),
    prefixes: pieces.every(piece => known.prefix(piece))
      ? packed(pieces, piece => known.prefix(piece)!)
      : null,
  }
}

function packed(pieces: readonly number[], digestOf: (piece: number) => Uint8Array): Uint8Array {
  const digests = new Uint8Array(pieces.length * DIGEST_BYTES)
  for (const [i, piece] of pieces.entries()) digests.set(digestOf(piece), i * DIGEST_BYTES)
  return digests
}
