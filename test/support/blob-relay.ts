import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'

/**
 * What stands in front of a registry or a mirror of one: it counts the bytes of blobs that go by, and can hold or break them half way, or
 * refuse them.
 */

export type RelayedRequest = {
  readonly method: string
  readonly path: string
  /** Of a blob. */
  readonly digest: string | null
  readonly range: string | null
  /** 0 until it is answered. */
  status: number
  /** Of the body that went by. */
  bodyBytes: number
}

export type BlobRelay = {
  /** `host:port`. */
  readonly address: string
  readonly requests: readonly RelayedRequest[]
  /** Of blobs' bodies that went by since the last call of `forget`; of all blobs where none is named. */
  blobBytes(digest?: string): number
  forget(): void
  /** The next GET of the blob stops after so many bytes of its body. */
  hold(digest: string, afterBytes: number): Hold
  /** The next GET of the blob breaks off after so many bytes of its body. */
  cut(digest: string, afterBytes: number): void
  /** Happens when HEADs of all these blobs have been answered to the relay, before the last of the answers goes on. */
  beforeLastHead(digests: readonly string[], act: () => Promise<void>): void
  /** From now on GET and HEAD of the blob are answered with 403 to whom this says. */
  forbid(digest: string, isForbidden: (authorization: string) => boolean): void
  stop(): Promise<void>
}

export type Hold = {
  /** The bytes before the hold have gone by. */
  readonly reached: Promise<void>
  release(): void
}

/** What a registry says to whom it knows and does not let in (OCI distribution specification, "Error Codes"). */
const REFUSAL = JSON.stringify({
  errors: [{ code: 'DENIED', message: 'this layer is not for you', detail: null }],
})

type Heads = { readonly missing: Set<string>; readonly act: () => Promise<void> }
type Stop = { readonly afterBytes: number; readonly act: (() => Promise<void>) | null }

/** @param target `host:port`, plain HTTP */
export async function startBlobRelay(target: string, host = '127.0.0.1'): Promise<BlobRelay> {
  const requests: RelayedRequest[] = []
  const stops = new Map<string, Stop>()
  const forbidden = new Map<string, (authorization: string) => boolean>()
  let heads: Heads | null = null
  const takeStop = (digest: string): Stop | null => {
    const stop = stops.get(digest) ?? null
    stops.delete(digest)
    return stop
  }
  const onHead = async (digest: string) => {
    if (!heads?.missing.delete(digest) || heads.missing.size > 0) return
    await heads.act()
  }
  const server = http.createServer((request, response) => {
    const relayed = relayedOf(request)
    requests.push(relayed)
    const digest = relayed.digest ?? ''
    if (forbidden.get(digest)?.(request.headers.authorization ?? '')) return refuse(relayed, response)
    const isHead = request.method === 'HEAD'
    answer(target, request, response, {
      relayed,
      beforeHead: isHead ? () => onHead(digest) : null,
      stop: isHead ? null : takeStop(digest),
    }).catch(() => response.destroy())
  })
  await once(server.listen(0, host), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    address: `${host}:${port}`,
    requests,
    blobBytes(digest) {
      return requests
        .filter(request => (digest === undefined ? request.digest !== null : request.digest === digest))
        .reduce((sum, request) => sum + request.bodyBytes, 0)
    },
    forget() {
      requests.length = 0
    },
    hold(digest, afterBytes) {
      const reached = Promise.withResolvers<void>()
      const released = Promise.withResolvers<void>()
      stops.set(digest, {
        afterBytes,
        async act() {
          reached.resolve()
          await released.promise
        },
      })
      return { reached: reached.promise, release: released.resolve }
    },
    cut(digest, afterBytes) {
      stops.set(digest, { afterBytes, act: null })
    },
    beforeLastHead(digests, act) {
      heads = { missing: new Set(digests), act }
    },
    forbid(digest, isForbidden) {
      forbidden.set(digest, isForbidden)
    },
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function relayedOf({ method = '', url = '', headers }: IncomingMessage): RelayedRequest {
  const digest = /\/blobs\/(sha256:[0-9a-f]{64})/.exec(url)?.[1] ?? null
  return { method, path: url, digest, range: headers.range ?? null, status: 0, bodyBytes: 0 }
}

function refuse(relayed: RelayedRequest, response: ServerResponse): void {
  relayed.status = 403
  response.writeHead(403, { 'content-type': 'application/json', 'content-length': REFUSAL.length })
  response.end(REFUSAL)
}

async function answer(
  target: string,
  request: IncomingMessage,
  response: ServerResponse,
  {
    relayed,
    beforeHead,
    stop,
  }: { relayed: RelayedRequest; beforeHead: (() => Promise<void>) | null; stop: Stop | null },
): Promise<void> {
  const [hostname, port] = target.split(':')
  const { method, url, headers } = request
  const asked = http.request({ hostname, port, method, path: url, headers, agent: false })
  asked.on('error', () => response.destroy())
  response.once('close', () => asked.destroy())
  request.pipe(asked)
  const [incoming] = (await once(asked, 'response')) as [IncomingMessage]
  relayed.status = incoming.statusCode ?? 0
  await beforeHead?.()
  response.writeHead(relayed.status, incoming.rawHeaders)
  response.flushHeaders()
  await pipeline(counted(incoming, relayed, stop), response)
}

async function* counted(body: AsyncIterable<Buffer>, relayed: RelayedRequest, stop: Stop | null) {
  const pass = (bytes: Buffer) => {
    relayed.bodyBytes += bytes.length
    return bytes
  }
  let next = stop
  for await (const chunk of body) {
    const untilStop = next === null ? chunk.length : next.afterBytes - relayed.bodyBytes
    yield pass(chunk.subarray(0, untilStop))
    if (next === null || untilStop >= chunk.length) continue
    if (next.act === null) throw new Error('cut')
    await next.act()
    next = null
    yield pass(chunk.subarray(untilStop))
  }
}
