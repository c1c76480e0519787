import { seededRandom } from '../../src/core/random.ts'

/** Content of any length that is generated and never stored. Seed 0 is zeros. */
export const SLICE_BYTES = 512 * 1024

/**
 * Content is one block of a prime length over and over, so that no two pieces (a power of two long) are the same. The block is kept
 * twice in a row: any slice up to its length lies in one place and is sent without a copy.
 */
const PERIOD_BYTES = 1_048_573

const blocks = new Map<number, Uint8Array>()

function blockOf(seed: number): Uint8Array {
  const known = blocks.get(seed)
  if (known) return known
  const words = new Uint32Array(Math.ceil(PERIOD_BYTES / 4))
  if (seed !== 0) {
    const random = seededRandom(seed)
    for (let i = 0; i < words.length; i++) words[i] = random.next() * 2 ** 32
  }
  const period = new Uint8Array(words.buffer, 0, PERIOD_BYTES)
  const block = new Uint8Array(2 * PERIOD_BYTES)
  block.set(period)
  block.set(period, PERIOD_BYTES)
  blocks.set(seed, block)
  return block
}

/** The bytes `start ≤ position < end`, in views of at most `sliceBytes` that nobody may write to. */
export function* slicesOf(
  seed: number,
  start: number,
  end: number,
  sliceBytes = SLICE_BYTES,
): Generator<Uint8Array> {
  const block = blockOf(seed)
  for (let position = start; position < end; ) {
    const length = Math.min(sliceBytes, PERIOD_BYTES, end - position)
    const offset = position % PERIOD_BYTES
    yield block.subarray(offset, offset + length)
    position += length
  }
}
