import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { close, open, read, write } from 'node:fs'
import net from 'node:net'
import { promisify } from 'node:util'

/** The least code that moves bytes as a peer must: hashed, stored, and passed on to others who are slow or fast. */

export const BUFFER_BYTES = 512 * 1024
const BUFFERS = 8

/** One block is read while the one before is sent. */
export async function send(file: string, consumer: net.Socket): Promise<void> {
  const fd = await promisify(open)(file, 'r')
  const buffers = [Buffer.allocUnsafe(BUFFER_BYTES), Buffer.allocUnsafe(BUFFER_BYTES)]
  let sending: Promise<unknown> = Promise.resolve()
  for (let block = 0; ; block++) {
    const buffer = buffers[block % 2]
    const { bytesRead } = await promisify(read)(fd, buffer, 0, BUFFER_BYTES, block * BUFFER_BYTES)
    await sending
    if (bytesRead === 0) break
    sending = new Promise<void>(resolve => consumer.write(buffer.subarray(0, bytesRead), () => resolve()))
  }
  consumer.end()
  await promisify(close)(fd)
}

type Received = {
  readonly port: number
  /** A path, asked for with HTTP; without it, the other side sends at once. */
  readonly ask?: string
  readonly file: string
  /** Of all of it, `sha256:<hex>`. */
  readonly digest: string
  readonly passOn?: (bytes: Uint8Array, sent: () => void) => void
  /** Of the bytes from the first on, how many can be read in the file. */
  readonly onStored?: (bytes: number) => void
}

/** Resolves with the open file when all is hashed, stored and passed on; rejects where it is not what it should be. */
export async function receive({ port, ask, file, digest, passOn, onStored }: Received): Promise<number> {
  const fd = await promisify(open)(file, 'w')
  const hash = createHash('sha256')
  const free = Array.from({ length: BUFFERS }, () => Buffer.allocUnsafe(BUFFER_BYTES))
  const unstored = new Set<number>()
  let position = 0
  let inHead = ask !== undefined
  let inUse = 0
  let hasEnded = false
  await new Promise<void>(resolve => {
    const resolveAtEnd = () => {
      if (hasEnded && inUse === 0) resolve()
    }
    const take = (buffer: Buffer<ArrayBuffer>, bytes: Uint8Array) => {
      hash.update(bytes)
      inUse++
      let users = passOn ? 2 : 1
      const done = () => {
        if (--users > 0) return
        inUse--
        free.push(buffer)
        socket.resume()
        resolveAtEnd()
      }
      const start = position
      position += bytes.length
      unstored.add(start)
      write(fd, bytes, 0, bytes.length, start, () => {
        unstored.delete(start)
        onStored?.(Math.min(position, ...unstored))
        done()
      })
      passOn?.(bytes, done)
    }
    const socket = net.connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer: () => free.pop()!,
        callback(length, given) {
          const buffer = given as Buffer<ArrayBuffer>
          const from = inHead ? buffer.indexOf('\r\n\r\n') + 4 : 0
          inHead = false
          take(buffer, buffer.subarray(from, length))
          // The next buffer is asked for now, whether reading goes on or stops.
          return free.length > 1
        },
      },
    })
    socket.once('connect', () => {
      if (ask) socket.write(`GET ${ask} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    })
    socket.once('end', () => {
      hasEnded = true
      resolveAtEnd()
    })
  })
  assert.equal(`sha256:${hash.digest('hex')}`, digest)
  return fd
}
