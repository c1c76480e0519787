import { type Fields, fieldValue } from '../upstream/fields.ts'

/** Which part of a content of known length a GET asks for (RFC 9110, section 14). */
export type AskedPart =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly start: number; readonly end: number }
  | { readonly kind: 'unsatisfiable' }

/**
 * One range is given, of several the whole, and what is no range is as good as none. A range under `If-Range` is given where that is the
 * content's strong entity tag.
 */
export function askedPart(fields: Fields, content: { lengthBytes: number; etag: string | null }): AskedPart {
  const ranges = fields.filter(([name]) => name.toLowerCase() === 'range')
  const match = ranges.length === 1 ? /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(ranges[0][1].trim()) : null
  const ifRange = fieldValue(fields, 'if-range')
  if (match === null || (ifRange !== null && (!isStrong(content.etag) || ifRange.trim() !== content.etag))) {
    return { kind: 'whole' }
  }
  const [, first, last] = match
  const { lengthBytes } = content
  if (first === '' && last === '') return { kind: 'whole' }
  if (first === '') return part(Math.max(0, lengthBytes - Number(last)), lengthBytes, lengthBytes)
  if (last !== '' && Number(last) < Number(first)) return { kind: 'whole' }
  return part(Number(first), last === '' ? lengthBytes : Number(last) + 1, lengthBytes)
}

/** Whether equal tags mean equal bytes (RFC 9110, section 8.8.3). */
export function isStrong(etag: string | null): etag is string {
  return etag !== null && /^"[^"]*"$/.test(etag)
}

function part(start: number, end: number, lengthBytes: number): AskedPart {
  if (start >= lengthBytes) return { kind: 'unsatisfiable' }
  return { kind: 'part', start, end: Math.min(end, lengthBytes) }
}
