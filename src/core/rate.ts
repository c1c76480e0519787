import { DragonflyError } from './error.ts'
import { parseSize } from './size.ts'

const BIT_UNITS: Record<string, number> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 }

/**
 * Bytes per second. Links are named in bits, whose units are decimal: `100Mbit`, `2Gbit/s`. Everything else is written like a size, whose
 * units are binary: `12MiB`, `20M`.
 * @throws DragonflyError USAGE
 */
export function parseRate(text: string): number {
  const plain = text.trim().replace(/(?:\/s|ps)$/i, '')
  const bits = /^(\d+(?:\.\d+)?)\s*([KMGT]?)bits?$/i.exec(plain)
  const rate = bits ? (Number(bits[1]) * BIT_UNITS[bits[2].toUpperCase()]) / 8 : parseBytes(plain, text)
  if (!Number.isFinite(rate) || rate > Number.MAX_SAFE_INTEGER) throw notARate(text)
  if (rate === 0) throw new DragonflyError('USAGE', 'a rate of 0 would never end; leave it out for no limit')
  return rate
}

/**
 * A rate as a limit: like `parseRate`, save that 0 is no limit, which is null here.
 * @throws DragonflyError USAGE
 */
export function parseRateLimit(text: string): number | null {
  return /^\s*0+(?:\.0+)?\s*(?:[KMGT]?(?:i?B)?|[KMGT]?bits?)?(?:\/s|ps)?\s*$/i.test(text)
    ? null
    : parseRate(text)
}

/** The largest binary unit that is exact, as dfget has always shown limits: `20971520` → `20MB`, null → `0`. Reads back as the same. */
export function formatRateLimit(bytesPerSecond: number | null): string {
  if (bytesPerSecond === null) return '0'
  for (const [unit, bytes] of [
    ['GB', 1024 ** 3],
    ['MB', 1024 ** 2],
    ['KB', 1024],
  ] as const) {
    if (bytesPerSecond % bytes === 0) return `${bytesPerSecond / bytes}${unit}`
  }
  return `${bytesPerSecond}B`
}

/** Decimal bits, as links are named: `12500000` → `100 Mbit/s`. */
export function formatRate(bytesPerSecond: number): string {
  if (bytesPerSecond === Number.POSITIVE_INFINITY) return 'unlimited'
  const bits = bytesPerSecond * 8
  for (const unit of ['T', 'G', 'M', 'K']) {
    if (bits >= BIT_UNITS[unit]) return `${Number((bits / BIT_UNITS[unit]).toPrecision(4))} ${unit}bit/s`
  }
  return `${Number(bits.toPrecision(4))} bit/s`
}

function parseBytes(plain: string, text: string): number {
  try {
    return parseSize(plain)
  } catch (cause) {
    throw notARate(text, cause)
  }
}

function notARate(text: string, cause?: unknown): DragonflyError {
  return new DragonflyError('USAGE', `"${text}" is not a rate; write it like 100Mbit, 2Gbit or 12MiB`, {
    cause,
  })
}
