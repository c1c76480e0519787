import { DragonflyError } from './error.ts'

/**
 * IPv4 and IPv6 addresses and prefixes as numbers. An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`, RFC 4291, section 2.5.5.2) is
 * the IPv4 address. What means something on one link only, such as `fe80::1%eth0`, is no address here.
 */

/** `words` are unsigned 32-bit numbers, the highest first: one for IPv4, four for IPv6. */
export type IpAddress = { readonly family: 4 | 6; readonly words: readonly number[] }

/** All addresses that share their first `length` bits; the other bits are zero. */
export type Cidr = IpAddress & { readonly length: number }

/** Null where the text is no address. */
export function parseIpAddress(text: string): IpAddress | null {
  if (!text.includes(':')) {
    const word = parseIpv4(text)
    return word === null ? null : { family: 4, words: [word] }
  }
  const words = parseIpv6(text)
  if (words === null) return null
  return isMapped(words) ? { family: 4, words: [words[3]] } : { family: 6, words }
}

/**
 * Parses `10.0.0.0/8`, `2001:db8::/32`, or one address, which stands for itself alone.
 * @throws DragonflyError USAGE
 */
export function parseCidr(text: string): Cidr {
  const [addressText, lengthText, ...surplus] = text.split('/')
  const address = parseIpAddress(addressText)
  if (address === null || surplus.length > 0) {
    throw new DragonflyError(
      'USAGE',
      `"${text}" is not a CIDR block; write it like 10.0.0.0/8 or 2001:db8::/32`,
    )
  }
  const bits = address.family === 4 ? 32 : 128
  if (lengthText === undefined) return { ...address, length: bits }
  // Of an IPv4 address that is written as IPv6, the first 96 bits are said by its form.
  const said = address.family === 4 && addressText.includes(':') ? 96 : 0
  const length = Number(lengthText) - said
  if (!/^(?:0|[1-9]\d{0,2})$/.test(lengthText) || length < 0 || length > bits) {
    throw new DragonflyError(
      'USAGE',
      `"${text}" has no prefix length that an IPv${said === 0 ? address.family : 6} address can have`,
    )
  }
  const words = address.words.map((word, index) => maskWord(word, length - 32 * index))
  const cidr: Cidr = { family: address.family, words, length }
  if (words.some((word, index) => word !== address.words[index])) {
    throw new DragonflyError(
      'USAGE',
      `"${text}" has bits set behind its prefix; write ${formatCidr(cidr)}, or a longer prefix`,
    )
  }
  return cidr
}

/** One way to write each prefix, so that equal ones are equal as text. */
export function formatCidr(cidr: Cidr): string {
  return `${formatIpAddress(cidr)}/${cidr.length}`
}

/** IPv6 as RFC 5952 recommends. */
export function formatIpAddress({ family, words }: IpAddress): string {
  if (family === 4) return [24, 16, 8, 0].map(shift => (words[0] >>> shift) & 0xff).join('.')
  const groups = words.flatMap(word => [word >>> 16, word & 0xffff])
  const zeros = longestZeros(groups)
  const spell = (part: readonly number[]) => part.map(group => group.toString(16)).join(':')
  if (zeros.count < 2) return spell(groups)
  return `${spell(groups.slice(0, zeros.start))}::${spell(groups.slice(zeros.start + zeros.count))}`
}

/** The first `bits` bits of a word; none where `bits` is not positive. */
export function maskWord(word: number, bits: number): number {
  if (bits <= 0) return 0
  return bits >= 32 ? word : (word & (-1 << (32 - bits))) >>> 0
}

/** Four numbers without leading zeros, which some programs read as octal. */
function parseIpv4(text: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return null
  let word = 0
  for (let index = 1; index <= 4; index++) {
    const part = match[index]
    if (Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return null
    word = word * 256 + Number(part)
  }
  return word
}

function parseIpv6(text: string): number[] | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const isShortened = halves.length === 2
  const head = parseGroups(halves[0], !isShortened)
  const tail = isShortened ? parseGroups(halves[1], true) : []
  if (head === null || tail === null) return null
  const missing = 8 - head.length - tail.length
  if (isShortened ? missing < 1 : missing !== 0) return null
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail]
  return [0, 2, 4, 6].map(index => groups[index] * 2 ** 16 + groups[index + 1])
}

/** Groups of 16 bits; the last two may be written as IPv4 where the address ends with them. */
function parseGroups(text: string, isEnd: boolean): number[] | null {
  if (text === '') return []
  const parts = text.split(':')
  if (parts.length > 8) return null
  const groups: number[] = []
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16))
      continue
    }
    const word = isEnd && index === parts.length - 1 ? parseIpv4(part) : null
    if (word === null) return null
    groups.push(word >>> 16, word & 0xffff)
  }
  return groups
}

function isMapped(words: readonly number[]): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff
}

/** The first of the longest runs of zeros. */
function longestZeros(groups: readonly number[]): { start: number; count: number } {
  let best = { start: 0, count: 0 }
  let count = 0
  for (const [index, group] of groups.entries()) {
    count = group === 0 ? count + 1 : 0
    if (count > best.count) best = { start: index - count + 1, count }
  }
  return best
}
