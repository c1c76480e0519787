import { type Digest, isDigest } from '../../core/digest.ts'

/** What a path of the distribution specification is to the mirror. */
type MirrorPath =
  /** `digest` is null where it is one that the swarm does not know. */
  | { readonly kind: 'blob'; readonly digest: Digest | null }
  | { readonly kind: 'other' }
  /** Two servers could take it for two different things, or it names no content. */
  | { readonly kind: 'invalid'; readonly code: 'DIGEST_INVALID' | 'NAME_INVALID'; readonly message: string }

const OTHER: MirrorPath = { kind: 'other' }

/** @param path as it came, without the query */
export function readMirrorPath(path: string): MirrorPath {
  if (isAmbiguous(path)) {
    return { kind: 'invalid', code: 'NAME_INVALID', message: 'the path can be read in more than one way' }
  }
  const match = /^\/v2\/.+\/blobs\/([^/]+)$/.exec(path)
  if (match === null || match[1] === 'uploads') return OTHER
  const name = decodeName(match[1])
  if (isDigest(name)) return { kind: 'blob', digest: name }
  if (isForeignDigest(name)) return { kind: 'blob', digest: null }
  return { kind: 'invalid', code: 'DIGEST_INVALID', message: 'the blob is not named by a digest' }
}

/** The repository that a path of the specification is about, or null. */
export function repositoryOf(path: string): string | null {
  return /^\/v2\/(.+?)\/(?:blobs|manifests|tags|referrers)\//.exec(path)?.[1] ?? null
}

/** Also in a coding that some servers undo before they look. Outside of the specification's paths, only what leads elsewhere counts. */
function isAmbiguous(path: string): boolean {
  if (/(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i.test(path) || !/^[\x21-\x7e]*$/.test(path)) return true
  return path.startsWith('/v2/') && /\/\/|\\|%(?:2e|2f|5c|25|[01][0-9a-f]|7f)|%(?![0-9a-f]{2})/i.test(path)
}

/** Some clients encode the colon. */
function decodeName(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return ''
  }
}

/** OCI image specification, "Digests": any algorithm, but the length of those that it registers is known. */
function isForeignDigest(name: string): boolean {
  const match = /^([a-z0-9]+(?:[.+_-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)$/.exec(name)
  if (match === null || match[1] === 'sha256') return false
  return match[1] !== 'sha512' || /^[0-9a-f]{128}$/.test(match[2])
}
