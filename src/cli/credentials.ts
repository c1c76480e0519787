import { oneLine } from '../core/text.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { authorizationFor, readNetrc } from './netrc.ts'

/**
 * The header fields that the user's `.netrc` adds to the request for a URL: none where the command says itself who asks, in a header or
 * in the URL. They count as the caller's own, so that no redirect takes them to another host, and what they open is private.
 * @throws DragonflyError CONFIG_INVALID
 */
export async function openCredentials({
  netrc: named,
  headers,
  quiet,
}: DfgetSettings): Promise<(url: string) => [string, string][]> {
  const netrc = await readNetrc(named)
  const isSaid = headers.some(([name]) => name.toLowerCase() === 'authorization')
  if (netrc === null || isSaid) return () => []
  let mustWarn = netrc.isExposed && !quiet
  return url => {
    const { username, password } = new URL(url)
    const authorization = username === '' && password === '' ? authorizationFor(netrc, url) : null
    if (authorization === null) return []
    if (mustWarn)
      process.stderr.write(`dfget: warning: others may read ${oneLine(netrc.file)}; chmod 600 it\n`)
    mustWarn = false
    return [['authorization', authorization]]
  }
}
