import type { ProxyRule } from '../options.ts'

/** Where a request goes; `isForSwarm` where a rule picks it for the swarm. */
type ProxyRoute = { readonly url: URL; readonly isForSwarm: boolean }

/** The first rule whose pattern is found in the whole URL counts, and for nothing but reading; all else goes where it says, as it is. */
export function routeOf(rules: readonly ProxyRule[], method: string, url: URL): ProxyRoute {
  const isReading = method === 'GET' || method === 'HEAD'
  const rule = isReading ? rules.find(({ pattern }) => url.href.search(pattern) >= 0) : undefined
  if (rule === undefined) return { url, isForSwarm: false }
  const changed = new URL(url)
  if (rule.usesHttps) changed.protocol = 'https:'
  if (rule.redirect !== null) {
    // A host without a port would leave the old port in its place.
    changed.port = ''
    changed.host = rule.redirect
  }
  return { url: changed, isForSwarm: !rule.isDirect }
}
