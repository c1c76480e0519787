import { chmod, unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import * as z from 'zod'
import type { Clock } from '../core/clock.ts'
import { DragonflyError, ERROR_TABLE, toDragonflyError } from '../core/error.ts'
import { isNewerRelease } from '../core/release-order.ts'
import type { Log } from '../ops/log.ts'
import { VERSION } from '../ops/version.ts'
import { type DownloadRequest, type LimitChange, type LocalEvent, RELEASE_HEADER } from '../wire/local.ts'
import { verifyMd5 } from './content-md5.ts'
import type { Peer } from './peer.ts'
import { ProgressFeed } from './progress-feed.ts'
import { watchRate } from './rate-watch.ts'

/** The account's commands talk to their peer here; see `wire/local.ts`. The socket lies in a directory that only the account may enter. */

const BODY_BYTES_MAX = 1024 * 1024

const rate = z.number().positive()

const limitChange: z.ZodType<LimitChange> = z.strictObject({
  total: rate.nullable().optional(),
  local: rate.nullable().optional(),
})

const requestFields = z.strictObject({
  url: z.string().max(16_384),
  headers: z.array(z.tuple([z.string(), z.string()])).max(256),
  name: z.string().max(4_096),
  tag: z.string().max(1_024),
  digest: z.string().nullable(),
  md5: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .nullish(),
  filter: z.array(z.string().max(256)).max(64).optional(),
  authorities: z
    .string()
    .max(512 * 1024)
    .nullish(),
  isInsecure: z.boolean().optional(),
  callSystem: z.string().max(256).optional(),
  wantsDigest: z.boolean().optional(),
  pattern: z.enum(['p2p', 'cdn']).optional(),
  mayReadOrigin: z.boolean().optional(),
  localLimit: rate.nullish(),
  minRate: rate.nullish(),
  proxies: z
    .strictObject({
      http: z.string().max(4_096).nullable(),
      https: z.string().max(4_096).nullable(),
      except: z.array(z.string().max(256)).max(1_024),
    })
    .nullish(),
  lookAhead: z.int().min(1).max(1_024).optional(),
  readFrom: z.int().min(0).optional(),
  waitsForDisk: z.boolean().optional(),
  nodes: z.array(z.string()).max(64),
  managers: z.array(z.string().max(512)).max(64).optional(),
})

const downloadRequest: z.ZodType<DownloadRequest> = requestFields.refine(
  ({ lookAhead, readFrom }) => lookAhead !== undefined || readFrom === undefined,
  'readFrom goes with lookAhead',
)

export async function startLocalServer(options: {
  peer: Peer
  socketPath: string
  clock: Clock
  log: Log
  onStop(): void
}): Promise<() => Promise<void>> {
  const { peer, socketPath, log, onStop } = options
  const server = createServer((request, response) => {
    answer(request, response).catch(thrown => sendError(response, thrown))
  })
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    if (request.method === 'POST' && request.url === '/downloads') return download(options, request, response)
    if (request.method === 'GET' && request.url === '/status') return sendJson(response, 200, peer.status())
    if (request.method === 'POST' && request.url === '/limits') {
      peer.limits.change(parseBody(limitChange, await readJson(request)))
      log.info({ ...peer.limits.status() }, 'limits changed')
      return sendJson(response, 200, peer.limits.status())
    }
    if (request.method === 'GET' && request.url === '/attendance') return attend(peer, response)
    if (request.method === 'POST' && request.url === '/finish') return finish(options, response)
    if (request.method === 'POST' && request.url === '/stop') {
      response.once('close', onStop)
      return sendJson(response, 200, {})
    }
    sendJson(response, 404, {
      code: 'USAGE',
      message:
        'there are POST /downloads, GET /status, POST /limits, GET /attendance, POST /finish and POST /stop',
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

/** For as long as the connection lasts. */
function attend(peer: Peer, response: ServerResponse): void {
  response.once('close', peer.attend())
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
}

/** The answer ends with the peer, so that whoever asked knows when the home is free. */
async function finish(
  { peer, log, onStop }: { peer: Peer; log: Log; onStop(): void },
  response: ServerResponse,
): Promise<void> {
  log.info({ ...peer.status(), tasks: undefined }, 'peer finishes')
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  await peer.finish()
  onStop()
}

async function download(
  { peer, clock, log }: { peer: Peer; clock: Clock; log: Log },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const callers = request.headers[RELEASE_HEADER]
  if (typeof callers === 'string' && isNewerRelease(callers, VERSION)) {
    throw new DragonflyError('PEER_FINISHING', `the resident peer is of release ${VERSION}`)
  }
  const asked = parseBody(downloadRequest, await readJson(request))
  const { md5, callSystem, wantsDigest, lookAhead, readFrom = 0 } = asked
  let look = () => {}
  const joined = await peer.download(asked, () => look())
  const floor = watchRate(joined, asked.minRate ?? null, clock)
  const gone = new AbortController()
  response.once('close', () => {
    gone.abort(new DragonflyError('CANCELLED', 'nobody waits for the content'))
    joined.release()
  })
  if (response.destroyed) return joined.release()
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const feed = new ProgressFeed({
    run: () => joined.run,
    readFrom: lookAhead === undefined ? null : readFrom,
    clock,
    send: event => send(response, event),
    isBehind: () => response.writableNeedDrain,
    onTick: () => floor.look(),
  })
  look = () => feed.look()
  response.once('close', () => feed.stop())
  const facts = { taskId: joined.run.request.taskId, ...(callSystem ? { callSystem } : {}) }
  try {
    const result = await Promise.race([joined.done, floor.tooSlow])
    if (lookAhead !== undefined) feed.tell()
    const { run } = joined
    if (md5) await verifyMd5(run.file!, md5, gone.signal)
    const digest = wantsDigest ? await run.contentDigest(gone.signal) : result.digest
    log.info(facts, 'command served')
    send(response, { event: 'complete', result: { ...result, digest } })
  } catch (thrown) {
    const { code, message, hint } = toDragonflyError(thrown)
    log.info({ ...facts, code }, 'command not served')
    send(response, { event: 'failed', code, message, hint })
    response.end()
  } finally {
    feed.stop()
  }
}

/** After `complete` the connection stays open: it is the lease under which the command links or copies the file. */
function send(response: ServerResponse, event: LocalEvent): void {
  response.write(`${JSON.stringify(event)}\n`)
}

function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body)
  if (!parsed.success) throw new DragonflyError('USAGE', z.prettifyError(parsed.error))
  return parsed.data
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
