import { type Digest, digestOf } from '../core/digest.ts'

/** As `createHash` of `node:crypto` returns it. */
export type Hasher = { update(bytes: Uint8Array): unknown; digest(): Uint8Array }

type Readable = { read(into: Uint8Array, position: number): Promise<number> }

const BLOCK_BYTES = 1024 ** 2

/**
 * Digest of a whole content by reading it, a block at a time.
 * @throws the signal's reason; what `read` throws
 */
export async function digestOfContent(
  content: Readable,
  lengthBytes: number,
  { hash, signal }: { hash: Hasher; signal?: AbortSignal },
): Promise<Digest> {
  const block = new Uint8Array(Math.min(BLOCK_BYTES, lengthBytes))
  for (let position = 0; position < lengthBytes; ) {
    signal?.throwIfAborted()
    const count = await content.read(block, position)
    hash.update(block.subarray(0, count))
    position += count
  }
  return digestOf(hash.digest())
}
