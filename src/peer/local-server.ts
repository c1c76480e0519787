import { chmod, unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import * as z from 'zod'
import type { Clock } from '../core/clock.ts'
import { DragonflyError, ERROR_TABLE, toDragonflyError } from '../core/error.ts'
import type { DownloadRequest, LocalEvent } from '../wire/local.ts'
import type { DownloadRun } from './download-run.ts'
import type { Peer } from './peer.ts'

/** The account's commands talk to their peer here; see `wire/local.ts`. The socket lies in a directory that only the account may enter. */

const BODY_BYTES_MAX = 1024 * 1024
const PROGRESS_MS = 200

const downloadRequest: z.ZodType<DownloadRequest> = z.strictObject({
  url: z.string().max(16_384),
  headers: z.array(z.tuple([z.string(), z.string()])).max(256),
  name: z.string().max(4_096),
  tag: z.string().max(1_024),
  digest: z.string().nullable(),
  wantsDigest: z.boolean().optional(),
  nodes: z.array(z.string()).max(64),
})

export async function startLocalServer(options: {
  peer: Peer
  socketPath: string
  clock: Clock
  onStop(): void
}): Promise<() => Promise<void>> {
  const { peer, socketPath, clock, onStop } = options
  const server = createServer((request, response) => {
    answer(request, response).catch(thrown => sendError(response, thrown))
  })
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    if (request.method === 'POST' && request.url === '/downloads')
      return download(peer, clock, request, response)
    if (request.method === 'GET' && request.url === '/status') return sendJson(response, 200, peer.status())
    if (request.method === 'POST' && request.url === '/stop') {
      response.once('close', onStop)
      return sendJson(response, 200, {})
    }
    sendJson(response, 404, {
      code: 'USAGE',
      message: 'there are POST /downloads, GET /status and POST /stop',
    })
  }
  await unlink(socketPath).catch(() => {})
  await listen(server, socketPath)
  await chmod(socketPath, 0o600)
  return async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
}

async function download(
  peer: Peer,
  clock: Clock,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const parsed = downloadRequest.safeParse(await readJson(request))
  if (!parsed.success) throw new DragonflyError('USAGE', z.prettifyError(parsed.error))
  const { run, release } = await peer.download(parsed.data)
  response.once('close', release)
  if (response.destroyed) return release()
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const cancelProgress = sendProgress(run, clock, response)
  response.once('close', cancelProgress)
  try {
    const result = await run.done
    const digest = parsed.data.wantsDigest ? await run.contentDigest() : result.digest
    send(response, { event: 'complete', result: { ...result, digest } })
  } catch (thrown) {
    const { code, message, hint } = toDragonflyError(thrown)
    send(response, { event: 'failed', code, message, hint })
    response.end()
  } finally {
    cancelProgress()
  }
}

/** After `complete` the connection stays open: it is the lease under which the command links or copies the file. */
function send(response: ServerResponse, event: LocalEvent): void {
  response.write(`${JSON.stringify(event)}\n`)
}

function sendProgress(run: DownloadRun, clock: Clock, response: ServerResponse): () => void {
  let cancel = () => {}
  const tick = () => {
    if (!response.writableNeedDrain) send(response, { event: 'progress', progress: run.snapshot() })
    cancel = clock.schedule(PROGRESS_MS, tick)
  }
  tick()
  return () => cancel()
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request) {
    length += part.length
    if (length > BODY_BYTES_MAX) throw new DragonflyError('USAGE', 'the request is too long')
    parts.push(part)
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch (cause) {
    throw new DragonflyError('USAGE', 'the request is not JSON', { cause })
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body)}\n`)
}

function sendError(response: ServerResponse, thrown: unknown): void {
  const { code, message, hint } = toDragonflyError(thrown)
  if (response.headersSent) response.destroy()
  else sendJson(response, ERROR_TABLE[code].httpStatus, { code, message, hint })
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, resolve)
  })
}
