import { createHash } from 'node:crypto'
import { Bitmap } from '../core/bitmap.ts'
import { generationOf, hasValidator } from '../core/generation.ts'
import { isValidLayout, layoutFor, PIECE_COUNT_MAX, pieceCount } from '../core/piece-layout.ts'
import type { Version } from '../core/version.ts'
import type { ProbeAnswer } from '../origin/origin.ts'
import type { PeerMessages } from '../wire/control.ts'

/** What peers say that they hold. */

type Announce = PeerMessages['announce']

/**
 * The pieces of this version, as far as they exist.
 * @param count null while the length is not known
 */
export function heldOf(announce: Announce, { generation, layout }: Version, count: number | null): Bitmap {
  const isSame = announce.generation === generation && announce.pieceLength === layout.pieceLength
  const size = Math.min(count ?? announce.held.length * 8, PIECE_COUNT_MAX)
  return isSame ? Bitmap.decode(announce.held, size) : new Bitmap(0)
}

export function claimsWhole(announce: Announce): boolean {
  return heldAsSaid(announce)?.isFull ?? false
}

/** Where what the announcer lacks begins; null where it holds nothing, or everything, or does not say how much there is. */
export function firstLackedByte(announce: Announce): number | null {
  const held = heldAsSaid(announce)
  if (held === null || held.count === 0 || held.isFull) return null
  return held.firstMissing() * announce.pieceLength
}

export function isOfVersion(announce: Announce, { generation, layout }: Version): boolean {
  return (
    announce.generation === generation &&
    announce.lengthBytes === layout.lengthBytes &&
    announce.pieceLength === layout.pieceLength
  )
}

/** As the CDN would name what the origin shows to this peer; null where the origin gives nothing to name it by. */
export function versionShown(announce: Announce, { validator, lengthBytes }: ProbeAnswer): Version | null {
  if (!hasValidator(validator)) return null
  const expectedDigest = announce.expectedDigest ?? undefined
  const generation = generationOf({ expectedDigest, validator, lengthBytes, nonce: '' }, bytes =>
    createHash('sha256').update(bytes).digest(),
  )
  return { generation, validator, layout: layoutFor(lengthBytes) }
}

function heldAsSaid({ generation, lengthBytes, pieceLength, held }: Announce): Bitmap | null {
  if (generation === null || lengthBytes === null || !isValidLayout(lengthBytes, pieceLength)) return null
  return Bitmap.decode(held, pieceCount({ lengthBytes, pieceLength }))
}
