import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { slicesOf } from './origin-content.ts'

/** An origin that looks at who asks: the content for some, a refusal or a page that asks for a password for others. */

export type Verdict = { to: 'content' } | { to: 'login page' } | { to: 'refusal'; status: number }

export type GuardedOrigin = {
  readonly url: string
  readonly requests: readonly { url: string; headers: IncomingMessage['headers'] }[]
  readonly content: Buffer
  /** Bodies stop after so many bytes until it is null again. */
  holdAfterBytes: number | null
  close(): Promise<void>
}

const ETAG = '"the-private-version"'
/** Without a length, a validator or a range, as such pages are. */
const LOGIN_PAGE = '<html>please log in</html>'

export async function startGuardedOrigin(options: {
  lengthBytes: number
  judge(request: IncomingMessage): Verdict | Promise<Verdict>
}): Promise<GuardedOrigin> {
  const content = Buffer.concat([...slicesOf(5, 0, options.lengthBytes)])
  const requests: { url: string; headers: IncomingMessage['headers'] }[] = []
  const waiting = new Set<() => void>()
  let holdAfterBytes: number | null = null
  const server = createServer((request, response) => {
    requests.push({ url: request.url ?? '', headers: request.headers })
    void answer(request, response)
  })
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const verdict = await options.judge(request)
    if (verdict.to === 'refusal') return response.writeHead(verdict.status).end()
    if (verdict.to === 'login page') return response.writeHead(200).end(LOGIN_PAGE)
    if (request.headers['if-none-match'] === ETAG) return response.writeHead(304, { ETag: ETAG }).end()
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    const start = Number(range?.[1] ?? 0)
    const end = range?.[2] ? Number(range[2]) + 1 : content.length
    const body = content.subarray(start, end)
    response.writeHead(range ? 206 : 200, {
      ETag: ETAG,
      'Content-Length': body.length,
      ...(range && { 'Content-Range': `bytes ${start}-${start + body.length - 1}/${content.length}` }),
    })
    const first = holdAfterBytes === null ? body.length : Math.min(holdAfterBytes, body.length)
    response.write(body.subarray(0, first))
    if (first < body.length && holdAfterBytes !== null) {
      await Promise.race([new Promise<void>(resolve => waiting.add(resolve)), once(response, 'close')])
    }
    response.end(body.subarray(first))
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    content,
    get holdAfterBytes() {
      return holdAfterBytes
    },
    set holdAfterBytes(bytes) {
      holdAfterBytes = bytes
      if (bytes !== null) return
      for (const resume of waiting) resume()
      waiting.clear()
    },
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
