import { DragonflyError } from '../../core/error.ts'
import { formatHostPort, type HostPort, hostPortIn } from '../../core/host-port.ts'

/** A registry as runtimes name it, and the URL under which it answers. */
export type RegistryName = {
  /** As it begins the names of images: `docker.io`, `quay.io`, `registry:5000`; or `_default`. */
  readonly name: string
  /** Null for `_default`. */
  readonly server: string | null
}

/** containerd's name for all registries that have no directory of their own. */
export const ANY_REGISTRY = '_default'
export const DOCKER_HUB = 'docker.io'

const DOCKER_HUB_NAMES = [DOCKER_HUB, 'index.docker.io', 'registry-1.docker.io']
const ANY_PORT = 443

/**
 * `NAME`, `NAME:PORT`, or with `http://` in front of a registry without TLS. One on this host is taken to have none, as all runtimes do.
 * @throws DragonflyError USAGE
 */
export function parseRegistryName(text: string): RegistryName {
  if (text === ANY_REGISTRY) return { name: ANY_REGISTRY, server: null }
  const [, scheme, name] = /^(?:(https?):\/\/)?(.*?)\/?$/s.exec(text)!
  const { host, port } = parseName(name)
  const canonical = (name.endsWith(`:${port}`) ? formatHostPort({ host, port }) : name).toLowerCase()
  if (DOCKER_HUB_NAMES.includes(canonical))
    return { name: DOCKER_HUB, server: 'https://registry-1.docker.io' }
  const isHere = host === 'localhost' || host === '::1' || /^127\.[\d.]+$/.test(host)
  return { name: canonical, server: `${scheme ?? (isHere ? 'http' : 'https')}://${canonical}` }
}

function parseName(name: string): HostPort {
  const parsed = hostPortIn(name, ANY_PORT)
  if (parsed !== null) return parsed
  throw new DragonflyError('USAGE', 'a registry is written like quay.io or registry.example.com:5000')
}
