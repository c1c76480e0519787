import type { MirrorOptions } from '../options.ts'
import { repositoryOf } from './mirror-path.ts'
import { entryFor, isUsual } from './registry-choice.ts'

/**
 * Clients of containers/image (podman, skopeo, CRI-O) know a mirror by `host:port/path`, and tell it nothing else. So the first component
 * of a repository may name the registry, under the rules by which those names begin the names of images.
 */

type NamedInPath = {
  /** Null is the usual registry. */
  readonly name: string | null
  /** As that registry knows it. */
  readonly path: string
}

/** The component that means a registry, which has a colon where images are named, and cannot have one in a path: `host.5000`. */
export function componentOf(name: string): string {
  return name.replace(':', '.')
}

/** Null where the path names no registry that the options know: then it is all repository, even if it looks like a host. */
export function registryInPath(options: MirrorOptions, path: string): NamedInPath | null {
  const [component, ...repository] = repositoryOf(path)?.split('/') ?? []
  if (repository.length === 0 || !isRegistryName(component)) return null
  const own = `/v2/${path.slice(`/v2/${component}/`.length)}`
  for (const name of [component, component.replace(/\.(\d+)$/, ':$1')]) {
    if (entryFor(options, { name, repository })) return { name, path: own }
    if (isUsual(options, name)) return { name: null, path: own }
  }
  return null
}

/** Docker's rule (distribution's `reference.ParseNormalizedNamed`): any other first component is a user or a project of a registry. */
export function isRegistryName(name: string): boolean {
  return /[.:]/.test(name) || name === 'localhost'
}
