import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseRangeHeader } from '../core/byte-range.ts'
import { seededRandom } from '../core/random.ts'

/** A web server with one file of 256 MiB, made from a few random blocks, that counts what it sends. */
export type DemoOrigin = { readonly url: string; readonly sentBytes: number; close(): Promise<void> }

const BLOCK_BYTES = 1024 * 1024
const BLOCKS = 256
const LENGTH_BYTES = BLOCK_BYTES * BLOCKS

export async function startDemoOrigin(): Promise<DemoOrigin> {
  const block = randomBlock()
  const etag = `"${createHash('sha256').update(block).digest('hex').slice(0, 16)}"`
  let sentBytes = 0
  const server = createServer(async (request, response) => {
    const asked = parseRangeHeader(request.headers.range ?? '') ?? { start: 0, end: LENGTH_BYTES }
    const end = Math.min(asked.end, LENGTH_BYTES)
    response.writeHead(request.headers.range ? 206 : 200, {
      etag,
      'content-length': end - asked.start,
      'content-range': `bytes ${asked.start}-${end - 1}/${LENGTH_BYTES}`,
    })
    for (let position = asked.start; position < end && !response.destroyed; ) {
      const offset = position % BLOCK_BYTES
      const part = numbered(block, Math.floor(position / BLOCK_BYTES)).subarray(
        offset,
        Math.min(BLOCK_BYTES, offset + end - position),
      )
      await new Promise<void>(resolve => response.write(part, () => resolve()))
      position += part.length
      sentBytes += part.length
    }
    response.end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/demo.bin`,
    get sentBytes() {
      return sentBytes
    },
    close() {
      server.closeAllConnections()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
}

function randomBlock(): Buffer {
  const random = seededRandom(2_016)
  const block = Buffer.allocUnsafe(BLOCK_BYTES)
  for (let i = 0; i < BLOCK_BYTES; i += 4) block.writeUInt32LE(Math.floor(random.next() * 2 ** 32), i)
  return block
}

/** No two blocks are the same, so that a piece in the wrong place would be found. */
function numbered(block: Buffer, number: number): Buffer {
  const copy = Buffer.from(block)
  copy.writeUInt32LE(number, 0)
  return copy
}
