import { replaceControlCharacters } from '../core/text.ts'

/** The name that an origin gives its content (RFC 6266, RFC 8187), made fit for a file here: somebody else's word is never a path. */

const NAME_BYTES_MAX = 255

/**
 * One name without a slash of either kind, a control character or a dot in front, so that it can neither lead elsewhere nor hide. Null
 * where the field names nothing that is left of it.
 */
export function nameOfDisposition(field: string): string | null {
  const parameters = parametersOf(field)
  const given =
    decodeExtended(parameters.get('filename*') ?? '') ?? decodePlain(parameters.get('filename') ?? '')
  return fitName(given)
}

/** The first of each counts. What comes in quotes is unescaped. */
function parametersOf(field: string): Map<string, string> {
  const found = new Map<string, string>()
  const parameter = /;\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/g
  // Type and parameters; a semicolon in quotes separates nothing, which the expression sees as it goes.
  for (const [, name, quoted, token] of `;${field.replace(/^[^;]*;?/, '')}`.matchAll(parameter)) {
    const key = name.toLowerCase()
    if (!found.has(key)) found.set(key, quoted === undefined ? token : quoted.replace(/\\(.)/g, '$1'))
  }
  return found
}

/** `UTF-8''na%C3%AFve.txt`; null where it is not of that form (RFC 8187, section 3.2). */
function decodeExtended(value: string): string | null {
  const [, charset, encoded] = /^(utf-8|iso-8859-1)'[^']*'([^']*)$/i.exec(value) ?? []
  if (encoded === undefined) return null
  const octets = encoded.replace(/%([0-9a-f]{2})/gi, (_, hex) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return /^utf/i.test(charset) ? decodeUtf8(octets) : octets
}

/** A head is octets, and what is beyond ASCII in it is UTF-8 more often than not. */
function decodePlain(value: string): string {
  return decodeUtf8(value) ?? value
}

function decodeUtf8(octets: string): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(octets, 'latin1'))
  } catch {
    return null
  }
}

function fitName(given: string): string | null {
  const plain = replaceControlCharacters(given, '')
  const name = plain
    .split(/[/\\]/)
    .at(-1)!
    .replace(/^[\s.]+|\s+$/g, '')
  return name === '' || Buffer.byteLength(name) > NAME_BYTES_MAX ? null : name
}
