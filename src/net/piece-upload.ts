import type { ServerResponse } from 'node:http'
import type { ByteRange } from '../core/byte-range.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { Limiter } from './rate-limiter.ts'

type UploadOptions = {
  readonly response: ServerResponse
  readonly range: ByteRange
  /** May return less than asked for; 0 means that there is no more. */
  read(into: Uint8Array, position: number): Promise<number>
  readonly blocks: BufferPool
  /** What is read and written at once, where no rate wants it smaller. */
  readonly blockBytes: number
  readonly limiter: Limiter | null
  /** Aborted when the connection is closed. */
  readonly signal: AbortSignal
  onSent(bytes: number): void
}

/**
 * Sends a range as the body of a response whose head has been written. While one block is on its way to the socket the next one is
 * read; a block is filled again only after its write is done. Rejects where reading or writing fails; what was sent is then short, and
 * the caller must destroy the connection.
 */
export async function sendRange(upload: UploadOptions): Promise<void> {
  const { blocks, range, signal } = upload
  const stepBytes = stepBytesOf(upload)
  const isSingle = range.end - range.start <= stepBytes
  const first = await blocks.acquire(Math.min(stepBytes, range.end - range.start), signal)
  const second = isSingle ? null : await acquireOr(blocks, first, signal)
  const reader = new BlockReader(upload)
  try {
    await sendBlocks(upload, reader, { blocks: second ? [first, second] : [first], stepBytes })
  } finally {
    await reader.settled()
    blocks.release(first)
    if (second) blocks.release(second)
  }
}

async function sendBlocks(
  upload: UploadOptions,
  reader: BlockReader,
  { blocks, stepBytes }: { blocks: Uint8Array[]; stepBytes: number },
): Promise<void> {
  const { range, limiter, signal } = upload
  let turn = 0
  let next = reader.read(blocks[0].subarray(0, stepBytes), range.start)
  for (let position = range.start; position < range.end; ) {
    const block = await next
    position += block.length
    if (position < range.end) {
      turn = (turn + 1) % blocks.length
      next = reader.read(blocks[turn].subarray(0, stepBytes), position)
    }
    await limiter?.take(block.length, signal)
    await write(upload.response, block, signal)
    upload.onSent(block.length)
  }
}

async function acquireOr(blocks: BufferPool, first: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  try {
    return await blocks.acquire(first.length, signal)
  } catch (thrown) {
    blocks.release(first)
    throw thrown
  }
}

/** A low rate flows in small steps, so that it does not come in bursts. It may change in the middle; the steps of a range do not. */
function stepBytesOf({ limiter, blockBytes }: UploadOptions): number {
  return limiter?.sliceBytes(blockBytes) ?? blockBytes
}

/** Fills blocks from the content; knows the read in progress, because its buffer must not be reused before it ends. */
class BlockReader {
  readonly #upload: UploadOptions
  #current: Promise<Uint8Array> | null = null

  constructor(upload: UploadOptions) {
    this.#upload = upload
  }

  read(block: Uint8Array, position: number): Promise<Uint8Array> {
    const wanted = block.subarray(0, Math.min(block.length, this.#upload.range.end - position))
    this.#current = this.#fill(wanted, position)
    // It is awaited one write later; until then its failure has no other listener.
    this.#current.catch(() => {})
    return this.#current
  }

  async settled(): Promise<void> {
    await this.#current?.catch(() => {})
  }

  async #fill(wanted: Uint8Array, position: number): Promise<Uint8Array> {
    let filled = 0
    while (filled < wanted.length) {
      const bytes = await this.#upload.read(
        filled === 0 ? wanted : wanted.subarray(filled),
        position + filled,
      )
      if (bytes === 0) throw new Error('the content ended before the range')
      filled += bytes
    }
    return wanted
  }
}

/** Resolves when the system has taken the whole block. */
function write(response: ServerResponse, block: Uint8Array, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    response.write(block, error => {
      signal.removeEventListener('abort', onAbort)
      if (error) reject(error)
      else resolve()
    })
  })
}
