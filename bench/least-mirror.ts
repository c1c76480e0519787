import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { close, open, read } from 'node:fs'
import http, { type ServerResponse } from 'node:http'
import net, { type AddressInfo, type Server } from 'node:net'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { BUFFER_BYTES, receive, send } from './least-transfer.ts'

/**
 * The least that a layer can cost which comes from another host, is verified, kept, and sent to the runtime meanwhile, by the same processes
 * as Dragonfly's: the sender in the supernode's place sends it from its file, the keeper in the peer's hashes it as it comes and stores it,
 * the mirror in dfdaemon's reads that file as far as it is there. No pieces, no protocol, nobody is asked who may read, what was sent is not
 * remembered. All else is the registry's, unchanged.
 */

export type LeastMirror = { readonly address: string; stop(): void }

/** @param layer where its bytes are now, and where the keeper stores them */
export async function startLeastMirror(
  registry: string,
  layer: { digest: string; lengthBytes: number; source: string; target: string },
): Promise<LeastMirror> {
  const { digest, lengthBytes, source, target } = layer
  const children: ChildProcess[] = []
  const start = async (...words: string[]) => {
    const child = spawn(process.execPath, [import.meta.filename, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.push(child)
    return String(await once(child.stdout, 'data')).trim()
  }
  const senderPort = await start('sender', source)
  const keeperPort = await start('keeper', senderPort, target, digest)
  const port = await start('mirror', registry, digest, String(lengthBytes), keeperPort, target)
  const stop = () => {
    for (const child of children) child.kill()
  }
  return { address: `127.0.0.1:${port}`, stop }
}

if (import.meta.main) {
  const [role, ...words] = process.argv.slice(2)
  if (role === 'sender') listen(net.createServer(socket => send(words[0], socket)))
  else listen(role === 'keeper' ? keeper(words) : mirror(words))
}

function listen(server: Server): void {
  server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
}

/** Fetches for whoever connects, and says line by line how many bytes can be read. */
function keeper([senderPort, file, digest]: string[]): Server {
  return net.createServer(async socket => {
    const onStored = (bytes: number) => socket.write(`${bytes}\n`)
    await promisify(close)(await receive({ port: Number(senderPort), file, digest, onStored }))
    socket.end()
  })
}

function mirror([registry, digest, lengthBytes, keeperPort, file]: string[]): Server {
  const [host, port] = registry.split(':')
  return http.createServer(async (request, response) => {
    if (request.method === 'GET' && request.url!.includes(`/blobs/${digest}`)) {
      response.writeHead(200, { 'content-length': lengthBytes, 'docker-content-digest': digest })
      await sendGrowing(Number(keeperPort), file, response)
      response.end()
      return
    }
    const { method, url, headers } = request
    // podman and skopeo are told to name the registry in the path, with a dot for the colon.
    const path = url!.replace(`/v2/${host}.${port}/`, '/v2/')
    request.pipe(
      http.request({ host, port, method, path, headers }, answer => {
        response.writeHead(answer.statusCode!, answer.rawHeaders)
        answer.pipe(response)
      }),
    )
  })
}

async function sendGrowing(keeperPort: number, file: string, response: ServerResponse): Promise<void> {
  const buffers = [Buffer.allocUnsafe(BUFFER_BYTES), Buffer.allocUnsafe(BUFFER_BYTES)]
  let fd: number | null = null
  let position = 0
  let sending: Promise<unknown> = Promise.resolve()
  for await (const line of createInterface({ input: net.connect(keeperPort, '127.0.0.1') })) {
    fd ??= await promisify(open)(file, 'r')
    while (position < Number(line)) {
      const [buffer] = buffers.reverse()
      const wanted = Math.min(BUFFER_BYTES, Number(line) - position)
      const { bytesRead } = await promisify(read)(fd, buffer, 0, wanted, position)
      position += bytesRead
      await sending
      sending = new Promise<void>(resolve => response.write(buffer.subarray(0, bytesRead), () => resolve()))
    }
  }
  await sending
  if (fd !== null) await promisify(close)(fd)
}
