import { assert } from './assert.ts'

/** Half-open range of bytes: `start ≤ position < end`. */
export type ByteRange = { readonly start: number; readonly end: number }

/** The `Range` header's value for one range (RFC 9110, section 14.1.2). `end === null` means to the end. */
export function formatRangeHeader(start: number, end: number | null): string {
  assert(start >= 0 && (end === null || start < end), 'range has bytes')
  return `bytes=${start}-${end === null ? '' : end - 1}`
}

/** Parses a `Range` header that names exactly one satisfiable first-last range; anything else is null. */
export function parseRangeHeader(value: string): ByteRange | null {
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/i.exec(value)
  if (!match) return null
  const start = Number(match[1])
  const end = Number(match[2]) + 1
  return start < end ? { start, end } : null
}

/** `Content-Range: bytes 0-99/200` (RFC 9110, section 14.4); `completeLength` is null for `*`. */
export function parseContentRange(value: string): (ByteRange & { completeLength: number | null }) | null {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(value.trim())
  if (!match) return null
  const range = { start: Number(match[1]), end: Number(match[2]) + 1 }
  const completeLength = match[3] === '*' ? null : Number(match[3])
  if (range.start >= range.end || (completeLength !== null && range.end > completeLength)) return null
  return { ...range, completeLength }
}
