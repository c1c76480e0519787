import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Digest } from '../../src/core/digest.ts'

/** A small registry and the store that it redirects to, each of which may be told to behave otherwise for a while. */
export type FakeRegistry = {
  readonly url: string
  /** `host:port` */
  readonly host: string
  /** Every request with a head, oldest first. */
  readonly requests: readonly { method: string; url: string; headers: IncomingMessage['headers'] }[]
  /** Body bytes of blobs that were sent. */
  readonly blobBytes: number
  addBlob(content: Buffer): Digest
  /** Looked at before the usual; true where it has answered. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | null
  /** Value of `Authorization` that is let in, by repository; others get 401. */
  readonly allowed: Map<string, string>
  /** Where blobs are; null gives them itself. */
  store: FakeRegistry | null
  count(method: string, part: string): number
  close(): Promise<void>
}

export async function startFakeRegistry(): Promise<FakeRegistry> {
  const blobs = new Map<string, Buffer>()
  const requests: { method: string; url: string; headers: IncomingMessage['headers'] }[] = []
  let blobBytes = 0
  const server = createServer((request, response) => {
    requests.push({ method: request.method!, url: request.url!, headers: request.headers })
    response.on('error', () => {})
    if (!registry.intercept?.(request, response)) answer(request, response)
  })
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const [, repository, name] = /^\/v2\/(.+)\/blobs\/([^/?]+)/.exec(request.url!) ?? []
    const wanted = registry.allowed.get(repository ?? '')
    if (wanted !== undefined && request.headers.authorization !== wanted) {
      const body = '{"errors":[{"code":"UNAUTHORIZED"}]}'
      const challenge = `Bearer realm="${registry.url}/token",service="fake"`
      response.writeHead(401, { 'WWW-Authenticate': challenge, 'Content-Length': body.length })
      response.end(request.method === 'HEAD' ? undefined : body)
      return
    }
    const content = blobs.get(name ?? '')
    if (content === undefined) {
      response
        .writeHead(404, { 'content-type': 'application/json' })
        .end('{"errors":[{"code":"BLOB_UNKNOWN"}]}')
      return
    }
    if (registry.store !== null) {
      const location = `${registry.store.url}/v2/kept/blobs/${name}?X-Amz-Signature=secret-signature`
      response.writeHead(307, { location, 'docker-content-digest': name, 'content-length': 0 }).end()
      return
    }
    sendBlob(request, response, { name: name!, content })
  }
  const sendBlob = (
    request: IncomingMessage,
    response: ServerResponse,
    { name, content }: { name: string; content: Buffer },
  ) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    const start = Number(range?.[1] ?? 0)
    const end = range?.[2] ? Math.min(Number(range[2]) + 1, content.length) : content.length
    const part = content.subarray(start, end)
    response.writeHead(range ? 206 : 200, {
      'Content-Type': 'application/octet-stream',
      'Content-Length': part.length,
      'Docker-Content-Digest': name,
      ETag: `"${name}"`,
      ...(range ? { 'Content-Range': `bytes ${start}-${end - 1}/${content.length}` } : {}),
    })
    if (request.method === 'HEAD') response.end()
    else {
      blobBytes += part.length
      response.end(part)
    }
  }
  const port = await listenOn(server)
  const registry: FakeRegistry = {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    requests,
    get blobBytes() {
      return blobBytes
    },
    addBlob(content) {
      const digest = `sha256:${createHash('sha256').update(content).digest('hex')}` as Digest
      blobs.set(digest, content)
      return digest
    },
    intercept: null,
    allowed: new Map(),
    store: null,
    count: (method, part) =>
      requests.filter(request => request.method === method && request.url.includes(part)).length,
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
  return registry
}

async function listenOn(server: Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
