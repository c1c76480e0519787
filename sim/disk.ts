import { Bitmap } from '../src/core/bitmap.ts'
import { DIGEST_BYTES } from '../src/core/digest.ts'
import type { Version } from '../src/core/version.ts'
import { generationIn, pieceValue } from './origin.ts'

/** The product syncs what lies further back than so many pieces. */
const UNSYNCED_MAX = 16

/** What one process has on disk of one task: the number that each piece contains, and the journal of pieces that were verified. */
export class SimDisk {
  version: Version | null = null
  journal = new Bitmap(0)
  /** Every write fails. */
  isBroken = false
  /** Pieces that fit; infinite where the disk is large. */
  room = Number.POSITIVE_INFINITY
  #values = new Uint32Array(0)
  /** Written since the last sync: a crash of the machine may take it back. */
  #unsynced: number[] = []

  adopt(version: Version, pieces: number): void {
    this.version = version
    this.journal = new Bitmap(pieces)
    this.#values = new Uint32Array(pieces)
    this.#unsynced = []
  }

  read(piece: number): number {
    return this.#values[piece] ?? 0
  }

  /** Returns false where the disk does not take it. */
  write(piece: number, value: number): boolean {
    if (this.isBroken || this.journal.count >= this.room) return false
    if (piece >= this.#values.length) {
      const larger = new Uint32Array(Math.max(piece + 1, 2 * this.#values.length))
      larger.set(this.#values)
      this.#values = larger
    }
    if (piece >= this.journal.size) this.journal.resize(piece + 1)
    this.#values[piece] = value
    this.journal.add(piece)
    this.#unsynced.push(piece)
    if (this.#unsynced.length > UNSYNCED_MAX) this.#unsynced.shift()
    return true
  }

  /** What is written stays from now on. */
  sync(): void {
    this.#unsynced = []
  }

  /** Nothing of the task is left. */
  discard(): void {
    this.version = null
    this.journal = new Bitmap(0)
    this.#values = new Uint32Array(0)
    this.#unsynced = []
  }

  /** The machine loses power: of what was not synced some bytes are lost although the journal names them. */
  tear(isLost: () => boolean): void {
    for (const piece of this.#unsynced.splice(0)) if (isLost()) this.#values[piece] = 0
  }

  /** A new process opens what an earlier one left: every piece is read, and what is not right is forgotten, as in the store. */
  reopen(): void {
    for (const piece of this.#wrongPieces()) this.journal.delete(piece)
  }

  /** Whether the journal names nothing but what the origin has, or had, in this version. */
  get isTrue(): boolean {
    return this.#wrongPieces().length === 0
  }

  #wrongPieces(): number[] {
    if (!this.version) return []
    const generation = generationIn(this.version)
    return [...this.journal.members()].filter(piece => this.#values[piece] !== pieceValue(generation, piece))
  }
}

/**
 * Stands for SHA-256: equal for equal content, and as long.
 * @param digest where to write it
 */
export function digestOfValue(value: number, digest = new Uint8Array(DIGEST_BYTES)): Uint8Array {
  for (let i = 0; i < 4; i++) digest[i] = value >>> (24 - 8 * i)
  return digest
}

export function valueInDigest(digest: Uint8Array): number {
  return ((digest[0] << 24) | (digest[1] << 16) | (digest[2] << 8) | digest[3]) >>> 0
}
