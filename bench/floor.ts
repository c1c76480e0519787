import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { close, fsync, open, read, write } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { parseSize } from '../src/core/size.ts'
import { need, settle, startNginx, timed, writeRandomFile } from './loopback.ts'

/**
 * The least that a download can take on this machine. Cold: nginx sends to a relay, which hashes, stores and passes on what it gets, and
 * a consumer hashes, stores and syncs it. Warm: the relay sends what it has stored. No pieces, no protocol, no schedule, nothing verified
 * against anything. Each run stands next to `curl -o` from the same nginx. What `bench:single` shows for (a) and (b) cannot be better
 * than this with one thread per process, whatever the code.
 *
 *     npm run bench:floor -- [--bytes 1GiB] [--rounds 5]
 */

const BUFFER_BYTES = 512 * 1024
const BUFFERS = 8

if (process.argv[2] === 'relay') relay(Number(process.argv[3]), process.argv[4])
else if (process.argv[2] === 'consumer') consume(Number(process.argv[3]), process.argv[4])
else await main()

function relay(originPort: number, file: string): void {
  const cold = net.createServer(async consumer => {
    const fd = await receive(originPort, file, (bytes, sent) => consumer.write(bytes, sent))
    consumer.end()
    await promisify(close)(fd)
  })
  const warm = net.createServer(consumer => send(file, consumer))
  const portOf = (server: net.Server) => (server.address() as net.AddressInfo).port
  cold.listen(0, '127.0.0.1', () => {
    warm.listen(0, '127.0.0.1', () => console.log(`${portOf(cold)} ${portOf(warm)}`))
  })
}

/** One block is read while the one before is sent. */
async function send(file: string, consumer: net.Socket): Promise<void> {
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

async function consume(port: number, file: string): Promise<void> {
  const fd = await receive(port, file, null)
  await promisify(fsync)(fd)
  await promisify(close)(fd)
}

type PassOn = (bytes: Uint8Array, sent: () => void) => void

/** Resolves with the open file when all is hashed, stored and passed on. */
async function receive(port: number, file: string, passOn: PassOn | null): Promise<number> {
  const fd = await promisify(open)(file, 'w')
  const hash = createHash('sha256')
  const free = Array.from({ length: BUFFERS }, () => Buffer.allocUnsafe(BUFFER_BYTES))
  let position = 0
  let inHead = passOn !== null
  let inUse = 0
  let hasEnded = false
  return new Promise(resolve => {
    const resolveAtEnd = () => {
      if (hasEnded && inUse === 0) resolve(fd)
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
      write(fd, bytes, 0, bytes.length, position, done)
      passOn?.(bytes, done)
      position += bytes.length
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
          return free.length > 0
        },
      },
    })
    socket.once('connect', () => {
      if (passOn) socket.write('GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    })
    socket.once('end', () => {
      hasEnded = true
      resolveAtEnd()
    })
  })
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { bytes: { type: 'string', default: '1GiB' }, rounds: { type: 'string', default: '5' } },
  })
  const lengthBytes = parseSize(values.bytes)
  need('nginx', 'curl', 'dd')
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bench-'))
  const nginx = await startNginx(directory)
  await writeRandomFile(path.join(nginx.root, 'file'), lengthBytes)
  const port = nginx.address.split(':')[1]
  const [stored, output] = [path.join(directory, 'stored'), path.join(directory, 'output')]
  const relaying = spawn(process.execPath, [import.meta.filename, 'relay', port, stored], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const [coldPort, warmPort] = String(await once(relaying.stdout, 'data'))
      .trim()
      .split(' ')
    const watched = [nginx.pid, relaying.pid!]
    for (let round = 1; round <= Number(values.rounds); round++) {
      for (const [kind, relayPort] of [
        ['cold', coldPort],
        ['warm', warmPort],
      ]) {
        const measure = async (program: string, ...words: string[]) => {
          await settle(directory, lengthBytes)
          const cost = await timed(program, words, watched)
          await rm(output)
          return cost
        }
        const plain = await measure('curl', '-sS', '-o', output, `http://${nginx.address}/file`)
        const least = await measure(process.execPath, import.meta.filename, 'consumer', relayPort, output)
        const facts = [plain.wall, plain.cpu, least.wall, least.cpu, least.wall / plain.wall]
        console.log(
          `${kind}: curl %s s (CPU of all %s), least relay %s s (CPU of all %s), ratio %s`,
          ...facts.map(fact => fact.toFixed(2)),
        )
      }
    }
  } finally {
    relaying.kill()
    nginx.stop()
    await rm(directory, { recursive: true, force: true })
  }
}
