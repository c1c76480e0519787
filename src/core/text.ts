/** UTF-8 and byte strings. The encoders are the web standard's, the only globals that the pure rooms use beyond the language. */

declare const TextEncoder: new () => { encode(text: string): Uint8Array }
declare const TextDecoder: new (
  label: string,
  options: { fatal: boolean; ignoreBOM: boolean },
) => { decode(bytes: Uint8Array): string }

const encoder = new TextEncoder()
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Few enough to be passed as arguments on any stack. */
const LATIN1_STRIDE = 4096

export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** @throws TypeError where the bytes are not UTF-8 */
export function decodeUtf8(bytes: Uint8Array): string {
  return utf8.decode(bytes)
}

/**
 * One character of the same code per byte; HTTP heads are octets (RFC 9110, section 5.5). A TextDecoder cannot do it: the web's
 * "latin1" is windows-1252, which moves 0x80–0x9f.
 */
export function decodeLatin1(bytes: Uint8Array): string {
  let text = ''
  for (let start = 0; start < bytes.length; start += LATIN1_STRIDE) {
    text += String.fromCharCode(...bytes.subarray(start, start + LATIN1_STRIDE))
  }
  return text
}

/** Of Unicode's category Cc: U+0000–U+001F and U+007F–U+009F. */
export function hasControlCharacter(text: string): boolean {
  return /\p{Cc}/u.test(text)
}

export function replaceControlCharacters(text: string, by: string): string {
  return text.replace(/\p{Cc}/gu, by)
}

/** What a file name or a server said cannot draw on the terminal nor begin a line of its own. */
export function oneLine(text: string): string {
  return replaceControlCharacters(text, '?')
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}
