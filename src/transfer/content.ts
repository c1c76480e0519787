import { Bitmap } from '../core/bitmap.ts'
import { pieceBytes, pieceCount } from '../core/piece-layout.ts'
import type { Version } from '../core/version.ts'
import type { DownloadStart } from './download-options.ts'
import type { Reader } from './reader.ts'

/** Pieces, where nothing is known of the length. */
const SIZE_UNKNOWN = 64

/** What a download knows of the content: which version, which pieces are held, which could be verified if they came, and who reads it. */
export class Content {
  version: Version | null
  held: Bitmap
  /** Null where nobody reads it while it comes. */
  reader: Reader | null
  /** Pieces that are vouched for. */
  #digests: Bitmap

  constructor({ stored, reader = null }: Pick<DownloadStart, 'stored' | 'reader'>) {
    this.reader = reader
    this.version = stored?.version ?? null
    this.held = stored?.held ?? new Bitmap(0)
    this.#digests = new Bitmap(this.held.size)
    this.learnDigests(stored?.knownDigests ?? [])
  }

  /** Null while the length is unknown. */
  get pieceCount(): number | null {
    return this.version && this.version.layout.lengthBytes !== null ? pieceCount(this.version.layout) : null
  }

  get isFull(): boolean {
    return this.held.count === this.pieceCount
  }

  get heldBytes(): number {
    let sum = 0
    for (const piece of this.held.members()) sum += pieceBytes(this.version!.layout, piece)
    return sum
  }

  /** Whether it is the other version for all one can tell. The same validator for two lengths is two versions. */
  isVersion(other: Version): boolean {
    const lengths = [this.version?.layout.lengthBytes ?? null, other.layout.lengthBytes]
    return (
      this.version?.generation === other.generation && (lengths.includes(null) || lengths[0] === lengths[1])
    )
  }

  /** Whether it is the other version and both count pieces alike. What an origin says has no pieces; what a supernode says has. */
  isAlike(other: Version): boolean {
    return this.isVersion(other) && this.version?.layout.pieceLength === other.layout.pieceLength
  }

  /** Begins with nothing of another version. */
  adopt(version: Version): void {
    this.version = version
    this.held = new Bitmap(this.pieceCount ?? SIZE_UNKNOWN)
    this.#digests = new Bitmap(this.held.size)
  }

  /** Returns whether the length is news. */
  learnLength(lengthBytes: number | null): boolean {
    if (!this.version || lengthBytes === null || this.version.layout.lengthBytes !== null) return false
    this.version = { ...this.version, layout: { ...this.version.layout, lengthBytes } }
    this.held.resize(pieceCount(this.version.layout))
    return true
  }

  learnDigests(pieces: Iterable<number>): void {
    for (const piece of pieces) add(this.#digests, piece)
  }

  hold(piece: number): void {
    add(this.held, piece)
  }

  /** Whether a piece of other hosts is of use: missing, and its digest is known. */
  isWanted(piece: number): boolean {
    return (
      piece < (this.pieceCount ?? Number.POSITIVE_INFINITY) &&
      !this.held.has(piece) &&
      this.#digests.has(piece)
    )
  }
}

function add(pieces: Bitmap, piece: number): void {
  if (piece >= pieces.size) pieces.resize(Math.max(piece + 1, pieces.size * 2))
  pieces.add(piece)
}
