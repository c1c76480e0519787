import { DragonflyError } from '../core/error.ts'
import type { ResponseHead } from '../wire/http1.ts'
import { type CallerHeaders, keepAcrossOrigins } from './http-request.ts'
import { type HttpUrl, isSameOrigin, isSameUrl, resolveLocation } from './http-url.ts'

/** One request of a chain, and the URLs that the chain has passed. */
export type Hop = {
  readonly url: HttpUrl
  readonly headers: CallerHeaders
  readonly passed: readonly HttpUrl[]
}

const REDIRECTS_MAX = 10

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308
}

/**
 * Where a redirect leads (RFC 9110, section 15.4). From https to http is refused always, with or without credentials: who asked for
 * https must not get, and hand to a whole swarm, what anybody on the path could have changed. Another scheme, host or port gets only
 * the headers that `keepAcrossOrigins` allows.
 * @throws DragonflyError ORIGIN_PROTOCOL or ORIGIN_REFUSED
 */
export function followRedirect(hop: Hop, head: ResponseHead): Hop {
  const host = hop.url.authority
  const location = head.headers.get('location')
  if (!location)
    throw new DragonflyError('ORIGIN_PROTOCOL', `${host} answered ${head.status} without a Location`)
  const url = resolveLocation(location, hop.url)
  if (!url)
    throw new DragonflyError('ORIGIN_REFUSED', `${host} redirects to something that is not an HTTP URL`)
  if (hop.url.isSecure && !url.isSecure) {
    throw new DragonflyError('ORIGIN_REFUSED', `${host} redirects from https to http on ${url.authority}`)
  }
  const passed = [...hop.passed, hop.url]
  // There is no memory between requests, so the same URL gets the same answer again.
  if (passed.some(earlier => isSameUrl(earlier, url))) {
    throw new DragonflyError('ORIGIN_REFUSED', `${host} redirects in a circle`)
  }
  if (passed.length > REDIRECTS_MAX) {
    throw new DragonflyError('ORIGIN_REFUSED', `${host} redirects more than ${REDIRECTS_MAX} times`)
  }
  const headers = isSameOrigin(hop.url, url) ? hop.headers : keepAcrossOrigins(hop.headers)
  return { url, headers, passed }
}
