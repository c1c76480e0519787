import { filterUrl } from './filter-url.ts'

/** `…/v2/NAME/blobs/sha256:…` (OCI distribution specification, "Pulling blobs"), and how the URL is to be read. */
const BLOB_URL =
  /^(https?:\/\/[^/?#]+)\/(?:[^?#]*\/)?v2\/[^?#]+\/blobs\/(sha256:[0-9a-f]{64})(?:\?[^#]*)?(#.*)?$/i

/**
 * Whether two URLs name the same content by their own word: they are the same but for signatures, or one registry's blob of one digest in
 * two repositories. What is at one of them says nothing of who may read it at the other.
 */
export function namesSameContent(one: string, other: string): boolean {
  const [a, b] = [filterUrl(one).url, filterUrl(other).url]
  return a === b || (blobName(a) !== null && blobName(a) === blobName(b))
}

function blobName(url: string): string | null {
  const match = BLOB_URL.exec(url)
  if (match === null) return null
  const [, registry, digest, reading = ''] = match
  return `${registry.toLowerCase()} ${digest} ${reading}`
}
