import { DragonflyError } from '../../core/error.ts'
import { isRedirect } from '../../origin/http-redirect.ts'
import { type Fields, fieldValue } from './fields.ts'
import type { Upstream, UpstreamAnswer, UpstreamRequest } from './upstream.ts'

const REDIRECTS_MAX = 10

/** What came at the end of a chain of redirects. */
export type Followed = {
  readonly answer: UpstreamAnswer
  /** Heads of the redirects on the way, the first first. */
  readonly redirects: readonly Fields[]
}

/**
 * Like `Upstream.send`, for a GET or HEAD that goes where redirects lead (RFC 9110, section 15.4). Another scheme, host or port gets no
 * credentials, also not when a later redirect leads back. From https to http nothing is followed: what comes would be anybody's.
 * @throws DragonflyError
 */
export async function sendFollowing(
  upstream: Upstream,
  request: Omit<UpstreamRequest, 'body'>,
): Promise<Followed> {
  const redirects: Fields[] = []
  let { url, fields } = request
  for (;;) {
    const answer = await upstream.send({ ...request, url, fields, body: null })
    const location = isRedirect(answer.status) ? fieldValue(answer.fields, 'location') : null
    if (location === null) return { answer, redirects }
    discard(answer)
    redirects.push(answer.fields)
    const next = whereTo(location, url)
    if (redirects.length > REDIRECTS_MAX) {
      throw new DragonflyError('ORIGIN_REFUSED', `${url.host} redirects more than ${REDIRECTS_MAX} times`)
    }
    if (next.origin !== url.origin) fields = fields.filter(([name]) => GO_ALONG.has(name.toLowerCase()))
    url = next
  }
}

/** Gives up the rest of an answer: reads what is little, which keeps the connection, and breaks off what may be more. */
export function discard({ body, fields }: UpstreamAnswer): void {
  body.once('error', () => {})
  if (Number(fieldValue(fields, 'content-length') ?? Infinity) <= LITTLE_BYTES) body.resume()
  else body.destroy()
}

const LITTLE_BYTES = 64 * 1024

/** An allow-list, because any other field may be a secret (`Authorization`, `Cookie`, `PRIVATE-TOKEN`, …). */
const GO_ALONG = new Set(['accept', 'accept-language', 'if-range', 'range', 'user-agent'])

function whereTo(location: string, from: URL): URL {
  // A head is octets: what is beyond ASCII goes back as the octets that came, not as UTF-8 of Latin-1.
  const ascii = location.replace(
    /[\x80-\xff]/g,
    octet => `%${octet.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  const url = URL.parse(ascii, from.href)
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw new DragonflyError('ORIGIN_REFUSED', `${from.host} redirects to something that is not an HTTP URL`)
  }
  if (from.protocol === 'https:' && url.protocol === 'http:') {
    throw new DragonflyError('ORIGIN_REFUSED', `${from.host} redirects from https to http on ${url.host}`)
  }
  return url
}
