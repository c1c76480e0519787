import { assert } from './assert.ts'

const DIGITS = '0123456789abcdef'

export function encodeHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += DIGITS[byte >> 4] + DIGITS[byte & 15]
  return text
}

/** The inverse of {@link encodeHex}; `hex` must be lower-case and of even length. */
export function decodeHex(hex: string): Uint8Array {
  assert(/^(?:[0-9a-f]{2})*$/.test(hex), 'hex is lower-case pairs')
  const bytes = new Uint8Array(hex.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)
  return bytes
}
