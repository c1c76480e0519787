import { redactUrl } from './filter-url.ts'
import { readTaskUrl, writeTaskUrl } from './task-url.ts'

/** What a request shows to the origin: all by which the origin may decide whom it lets in, and to what. */
export type Caller = { readonly url: string; readonly headers: readonly (readonly [string, string])[] }

/**
 * Whether two requests are the same for the origin, signatures, credentials and preferences included, so that what it gives to one it
 * gives to the other.
 */
export function isSameCaller(a: Caller, b: Caller): boolean {
  return shownBy(a) === shownBy(b)
}

/** One text for all that the request shows, and how its URL is to be read. It may hold credentials. */
export function shownBy({ url, headers }: Caller): string {
  const plain = headers.map(([name, value]) => [name.toLowerCase(), value.trim()])
  return JSON.stringify([writeTaskUrl(url, readTaskUrl(url)), plain])
}

/** Whether the request shows its URL and nothing else, and nothing secret in it: no user, no signature, no token. */
export function isAnonymous({ url, headers }: Caller): boolean {
  return redactUrl(url) === withoutFragment(url) && headers.every(([name]) => name.toLowerCase() === 'range')
}

/** Value of the `Range` header by which the caller makes a part the whole, or null. */
export function rangeOf(headers: Caller['headers']): string | null {
  return headers.find(([name]) => name.toLowerCase() === 'range')?.[1] ?? null
}

function withoutFragment(url: string): string {
  return url.split('#', 1)[0]
}
