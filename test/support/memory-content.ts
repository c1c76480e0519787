import { Bitmap } from '../../src/core/bitmap.ts'
import type { Generation } from '../../src/core/generation.ts'
import type { PieceContent } from '../../src/net/piece-content.ts'

export const GENERATION = '0123456789abcdef' as Generation

/** Bytes that differ from piece to piece and within each. */
export function patternBytes(lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  for (let i = 0; i < lengthBytes; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16)) & 255
  return bytes
}

/** A task in memory that counts its leases and remembers into which buffers it was read. */
export class MemoryContent implements PieceContent {
  readonly layout: { lengthBytes: number | null; pieceLength: number }
  readonly held: Bitmap
  readonly generation = GENERATION
  readonly bytes: Uint8Array
  readonly buffersUsed = new Set<ArrayBufferLike>()
  leases = 0
  /** Replaces the read, for tests in which it fails or waits. */
  onRead: ((position: number) => Promise<void>) | null = null

  constructor(bytes: Uint8Array, pieceLength: number) {
    this.bytes = bytes
    this.layout = { lengthBytes: bytes.length, pieceLength }
    this.held = new Bitmap(Math.ceil(bytes.length / pieceLength))
  }

  static full(bytes: Uint8Array, pieceLength: number): MemoryContent {
    const content = new MemoryContent(bytes, pieceLength)
    for (let index = 0; index < content.held.size; index++) content.held.add(index)
    return content
  }

  holdsRange(start: number, end: number): boolean {
    const { pieceLength } = this.layout
    return this.held.firstMissing(Math.floor(start / pieceLength)) >= Math.ceil(end / pieceLength)
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    await this.onRead?.(position)
    this.buffersUsed.add(into.buffer)
    const found = this.bytes.subarray(position, position + into.length)
    into.set(found)
    return found.length
  }

  retain(): () => void {
    this.leases++
    return () => {
      this.leases--
    }
  }
}
