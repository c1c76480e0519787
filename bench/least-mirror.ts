import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { close } from 'node:fs'
import http from 'node:http'
import net, { type AddressInfo, type Server } from 'node:net'
import { promisify } from 'node:util'
import { receive, send } from './least-transfer.ts'

/**
 * The least that a layer can cost which comes from another host, is verified and is kept: one process sends it from its file, another one
 * hashes it twice (as a piece, and as the whole that the runtime names), stores it and passes it on at once, in order. No pieces, no protocol,
 * nobody is asked who may read. All else is the registry's, unchanged.
 */

export type LeastMirror = { readonly address: string; stop(): void }

/** @param layer where its bytes are now, and where the mirror stores them */
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
  const port = await start('mirror', registry, digest, String(lengthBytes), senderPort, target)
  const stop = () => {
    for (const child of children) child.kill()
  }
  return { address: `127.0.0.1:${port}`, stop }
}

if (import.meta.main) {
  const [role, ...words] = process.argv.slice(2)
  if (role === 'sender') listen(net.createServer(socket => send(words[0], socket)))
  else listen(mirror(words))
}

function listen(server: Server): void {
  server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
}

function mirror([registry, digest, lengthBytes, senderPort, file]: string[]): Server {
  const [host, port] = registry.split(':')
  return http.createServer(async (request, response) => {
    if (request.method === 'GET' && request.url!.endsWith(digest)) {
      response.writeHead(200, { 'content-length': lengthBytes, 'docker-content-digest': digest })
      const passOn = (bytes: Uint8Array, sent: () => void) => response.write(bytes, sent)
      await promisify(close)(await receive({ port: Number(senderPort), file, hashes: 2, passOn }))
      response.end()
      return
    }
    const { method, url: path, headers } = request
    request.pipe(
      http.request({ host, port, method, path, headers }, answer => {
        response.writeHead(answer.statusCode!, answer.rawHeaders)
        answer.pipe(response)
      }),
    )
  })
}
