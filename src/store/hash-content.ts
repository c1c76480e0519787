import { assert } from '../core/assert.ts'

/** As `createHash` of `node:crypto` returns it. */
type Hasher = { update(bytes: Uint8Array): unknown; digest(): Uint8Array }

/** A content as far as it is hashed: of known length, and all of it held. */
type Readable = {
  readonly layout: { readonly lengthBytes: number | null }
  read(into: Uint8Array, position: number): Promise<number>
}

const BLOCK_BYTES = 1024 ** 2

/**
 * Hash of a whole content by reading it, a block at a time.
 * @throws the signal's reason; what `read` throws
 */
export async function hashContent(
  content: Readable,
  hasher: Hasher,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const { lengthBytes } = content.layout
  assert(lengthBytes !== null, 'length is known')
  const block = new Uint8Array(Math.min(BLOCK_BYTES, lengthBytes))
  for (let position = 0; position < lengthBytes; ) {
    signal?.throwIfAborted()
    const count = await content.read(block, position)
    hasher.update(block.subarray(0, count))
    position += count
  }
  return hasher.digest()
}
