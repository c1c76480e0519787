import { hostPortIn } from '../../core/host-port.ts'
import { authorityOf } from '../../net/url-authority.ts'
import type { MirrorOptions, Registry } from '../options.ts'

/** Names by which images are called, and where their registry is. */
const REAL_HOSTS: Readonly<Record<string, string>> = {
  'docker.io': 'registry-1.docker.io',
  'index.docker.io': 'registry-1.docker.io',
}

const DEFAULT_NAME = '_default'

/**
 * The registry that a request means: what it names, as containerd does with `ns`, else the usual one. Of the configured ones the longest
 * that begins `NAME/repository` counts, then the usual one where the name is its, then `_default`; any other name is that of a host.
 * Null where the name cannot be a host's.
 */
export function chooseRegistry(
  options: MirrorOptions,
  asked: { readonly name: string | null; readonly repository: string | null },
): Registry | null {
  const { usual, registries } = options
  if (asked.name === null) return usual
  const name = asked.name.toLowerCase()
  const repository = asked.repository?.split('/') ?? []
  const entry = entryFor(options, { name, repository })
  if (entry) return entry
  return isUsual(options, name) ? usual : (registries.get(DEFAULT_NAME) ?? registryAt(name))
}

/** Whether the usual registry is called so. */
export function isUsual({ usual }: Pick<MirrorOptions, 'usual'>, name: string): boolean {
  const url = new URL(usual.remote)
  const { host, port } = authorityOf(url)
  return [url.host, `${host}:${port}`].includes(name) || REAL_HOSTS[name] === url.host
}

/** The longest beginning of `NAME/repository` that is in the table. */
export function entryFor(
  { registries }: Pick<MirrorOptions, 'registries'>,
  { name, repository }: { readonly name: string; readonly repository: readonly string[] },
): Registry | null {
  const steps = [name, ...repository]
  for (let count = steps.length; count > 0; count--) {
    const registry = registries.get(steps.slice(0, count).join('/'))
    if (registry) return registry
  }
  return null
}

function registryAt(name: string): Registry | null {
  if (hostPortIn(name, 443) === null) return null
  const remote = `https://${REAL_HOSTS[name] ?? name}`
  return { remote, trust: { authorities: null, isInsecure: false }, isDirect: false }
}
