import { isIP } from 'node:net'
import type { Digest } from '../core/digest.ts'
import { parseDigest } from '../core/digest.ts'
import { parseDuration } from '../core/duration.ts'
import { DragonflyError } from '../core/error.ts'
import { hasControlCharacter } from '../core/text.ts'
import { managerOrigin } from '../net/manager-answer.ts'
import { isFieldName, isFieldValue } from '../wire/http-field.ts'

/** How the values of dfget's settings are written. All parsers throw DragonflyError USAGE. */

/** What `--digest` promises. */
type PromisedDigest =
  | { readonly kind: 'sha256'; readonly digest: Digest }
  | { readonly kind: 'md5'; readonly hex: string }

export function parsePromisedDigest(text: string): PromisedDigest {
  if (/^\s*md5:/i.test(text)) return { kind: 'md5', hex: parseMd5(text) }
  return { kind: 'sha256', digest: parseDigest(text) }
}

export function formatPromisedDigest(promised: PromisedDigest): string {
  return promised.kind === 'md5' ? `md5:${promised.hex}` : promised.digest
}

export function parseMd5(text: string): string {
  const hex = text.trim().toLowerCase().replace(/^md5:/, '')
  if (/^[0-9a-f]{32}$/.test(hex)) return hex
  throw new DragonflyError('USAGE', `"${text}" is not an MD5; write it like md5:<32 hex digits>`)
}

/** 0 is no limit, which is null. Milliseconds. */
export function parseTimeout(text: string): number | null {
  return parseDuration(text) || null
}

export type Header = readonly [name: string, value: string]

export function parseHeader(text: string): Header {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(colon, 0)).trim()
  if (!isFieldName(name)) {
    throw new DragonflyError('USAGE', "a header is written 'Name: value'")
  }
  const given = text.slice(colon + 1).trim()
  if (!isFieldValue(given)) {
    throw new DragonflyError(
      'USAGE',
      `the value of header "${name}" holds a line break or another character that is not allowed`,
    )
  }
  return [name, given]
}

export function parseFilterName(text: string): string {
  const name = text.trim()
  if (name.length > 256 || /[=#\s]/.test(name) || hasControlCharacter(name)) {
    throw new DragonflyError(
      'USAGE',
      'a filter is names of query parameters, without their values; write them like key&sign',
    )
  }
  return name
}

/** Free text of one line, for labels. */
export function parseLabel(text: string): string {
  if (text.length <= 256 && !hasControlCharacter(text)) return text
  throw new DragonflyError('USAGE', 'a label has at most 256 characters, and no line break among them')
}

/** A path, as it is given. */
export function parsePath(text: string): string {
  if (text !== '' && !text.includes('\0')) return text
  throw new DragonflyError('USAGE', 'a path has at least one character, and no NUL')
}

export function parseAddress(text: string): string {
  const address = text.trim().replace(/^\[(.*)\]$/, '$1')
  if (isIP(address) !== 0) return address
  throw new DragonflyError('USAGE', `"${text}" is not an IP address`)
}

export function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port
  throw new DragonflyError('USAGE', 'a port is a number up to 65535')
}

/** A natural number within bounds, both included. */
export function parseCount(min: number, max: number): (text: string) => number {
  return text => {
    const count = Number(text)
    if (/^\d{1,9}$/.test(text.trim()) && count >= min && count <= max) return count
    throw new DragonflyError('USAGE', `"${text}" is not a number from ${min} to ${max}`)
  }
}

/** `http(s)://host:port`, or `host:port` for short. What is refused is not repeated, since it may hold credentials. */
export function parseManager(text: string): string {
  const origin = managerOrigin(text.trim())
  if (origin !== null) return origin
  throw new DragonflyError('USAGE', 'a managing node is written http://host:port, and nothing after it')
}

export const PATTERNS = ['p2p', 'cdn', 'source'] as const

type Pattern = (typeof PATTERNS)[number]

export function parsePattern(text: string): Pattern {
  const pattern = PATTERNS.find(known => known === text.toLowerCase())
  if (pattern !== undefined) return pattern
  throw new DragonflyError('USAGE', `"${text}" is not a pattern; there are p2p, cdn and source`)
}

/** `http://host:port`, or `host:port` for short. */
export function parseProxy(text: string): URL {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:') && url.hostname !== '')
    return url
  throw new DragonflyError('USAGE', 'a proxy is written http://host:port')
}
