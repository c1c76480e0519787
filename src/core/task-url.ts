/**
 * How a task's URL is to be read. It is part of the task's identity, and travels with the URL to whoever fetches for the task: as the
 * fragment, which no origin ever sees (RFC 9110, section 7.1). A fragment of the user's own means nothing to us and is dropped.
 */
type UrlReading = {
  /** Names of query parameters that do not select content, beside those of known signatures. Exact, as they are spelled in the URL. */
  readonly filter: readonly string[]
  /** Whose certificates count: empty for those that the fetching host trusts, `any` for no check, else a name for further authorities. */
  readonly trust: string
}

/** Plain: no filter, and the trust of whoever fetches. */
export const PLAIN_READING: UrlReading = { filter: [], trust: '' }

/** The URL with the reading in its canonical form; the same reading always gives the same text. */
export function writeTaskUrl(url: string, { filter, trust }: UrlReading): string {
  const names = [...new Set(filter)].filter(name => name !== '').sort()
  const parts = [
    ...(names.length > 0 ? [`filter=${names.map(encodeURIComponent).join(',')}`] : []),
    ...(trust === '' ? [] : [`trust=${trust}`]),
  ]
  const [address] = url.split('#', 1)
  return parts.length > 0 ? `${address}#!${parts.join('&')}` : address
}

/** What `writeTaskUrl` wrote. Any other fragment is none. */
export function readTaskUrl(url: string): UrlReading {
  const match = /#!(?:filter=([^&#]+))?&?(?:trust=(any|[0-9a-f]{32}))?$/.exec(url)
  if (!match) return PLAIN_READING
  try {
    return { filter: (match[1]?.split(',') ?? []).map(decodeURIComponent), trust: match[2] ?? '' }
  } catch {
    return PLAIN_READING
  }
}
