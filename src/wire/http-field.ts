/** What a header field of HTTP may be. */

/** RFC 9110, section 5.6.2: a token. */
export function isFieldName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)
}

/**
 * RFC 9110, section 5.5. Characters beyond Latin-1 are refused as well: a request is written one octet per character, and U+010A would
 * become a line feed.
 */
export function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) return false
  }
  return true
}
