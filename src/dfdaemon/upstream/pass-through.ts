import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { UpstreamTrust } from '../options.ts'
import { endToEnd, type Fields, VIA, without } from './fields.ts'
import type { Upstream, UpstreamAnswer } from './upstream.ts'
import { whileWanted } from './while-wanted.ts'

/** By which a client may name the registry that it means. */
export const REGISTRY_FIELD = 'x-dragonfly-registry'

/** A request, where it goes, and what is shown there: what the client sent, unless some of it is meant for somebody else. */
export type Exchange = {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly url: URL
  readonly trust: UpstreamTrust
  readonly fields: Fields
}

/** Streams both ways. Resolves when the exchange is over, however it ended; what fails before the head is answered with 502 or 504. */
export async function passThrough(upstream: Upstream, exchange: Exchange): Promise<void> {
  const { request, response, url, trust } = exchange
  await whileWanted(response, async signal => {
    const answer = await upstream.send({
      method: request.method!,
      url,
      fields: fieldsToSend(exchange),
      body: bodyOf(request),
      trust,
      signal,
    })
    beginAnswer(response, answer)
    await pipeline(answer.body, response)
  })
}

/** The head as it came, but for what counts for one hop, and `Via`. */
export function beginAnswer(
  response: ServerResponse,
  { status, statusText, fields }: Omit<UpstreamAnswer, 'body'>,
): void {
  response.sendDate = false
  response.writeHead(status, statusText, [...endToEnd(fields), VIA].flat())
}

/** `Host` is the upstream's; what `Expect` asks for, this server has given already; which registry is meant was said to the mirror. */
export function fieldsToSend({ fields }: Pick<Exchange, 'fields'>): Fields {
  return without(endToEnd(fields), NOT_SENT)
}

const NOT_SENT = new Set(['expect', 'host', REGISTRY_FIELD])

/**
 * Null where there is none. The stream between takes what the upstream does to a body that it does not want to the end: to destroy the
 * client's would break its connection before it has the answer.
 */
function bodyOf(request: IncomingMessage): Readable | null {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers
  if (coding === undefined && (length === undefined || Number(length) === 0)) return null
  const body = new PassThrough()
  body.on('error', () => {})
  request.once('error', cause => body.destroy(cause))
  body.once('close', () => request.resume())
  return request.pipe(body)
}
