import { isHostPort, parseHostPort } from '../../core/host-port.ts'
import type { MirrorOptions, Registry } from '../options.ts'

/** Names by which images are called, and where their registry is. */
export const REAL_HOSTS: Readonly<Record<string, string>> = {
  'docker.io': 'registry-1.docker.io',
  'index.docker.io': 'registry-1.docker.io',
}

const DEFAULT_NAME = '_default'

/**
 * The registry that a request means: what it names, as containerd does with `ns`, else the usual one. Of the configured ones the longest
 * that begins `NAME/repository` counts, then `_default`; any other name is that of a host.
 * Null where the name cannot be a host's.
 */
export function chooseRegistry(
  { usual, registries }: MirrorOptions,
  asked: { readonly name: string | null; readonly repository: string | null },
): Registry | null {
  if (asked.name === null) return usual
  const name = asked.name.toLowerCase()
  const repository = asked.repository?.split('/') ?? []
  return entryFor({ registries }, { name, repository }) ?? registries.get(DEFAULT_NAME) ?? registryAt(name)
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
  if (!isHost(name)) return null
  const remote = `https://${REAL_HOSTS[name] ?? name}`
  return { remote, trust: { authorities: null, isInsecure: false }, isDirect: false }
}

function isHost(name: string): boolean {
  try {
    return isHostPort(parseHostPort(name, 443))
  } catch {
    return false
  }
}
