import { DragonflyError } from './error.ts'

const UNITS: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }

/**
 * Parses `64MiB`, `20M`, `20MB`, `512k` or a bare number of bytes. All units are binary, as they have been in dfget since 1.x.
 * @throws DragonflyError USAGE
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:i?B)?|B)?$/i.exec(text.trim())
  const bytes = match ? Math.round(Number(match[1]) * UNITS[(match[2] ?? '').toUpperCase()]) : Number.NaN
  if (!Number.isSafeInteger(bytes)) {
    throw new DragonflyError('USAGE', `"${text}" is not a size; write it like 64MiB or 20M`)
  }
  return bytes
}

/** `1536` → `1.50 KiB`. */
export function formatSize(bytes: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < names.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0
    ? `${Math.round(value)} B`
    : `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${names[unit]}`
}
