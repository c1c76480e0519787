import { DragonflyError } from './error.ts'

/** Go's units; both signs that are written for micro. */
const UNIT_MS: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/**
 * Parses Go-style durations (`3m0s`, `1h2m3.5s`, `500ms`, `0`) into milliseconds.
 * @throws DragonflyError USAGE
 */
export function parseDuration(text: string): number {
  const trimmed = text.trim()
  if (trimmed === '0') return 0
  const parts = [...trimmed.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)/g)]
  const ms = parts.reduce((sum, part) => sum + Number(part[1]) * UNIT_MS[part[2]], 0)
  if (parts.length === 0 || parts.map(part => part[0]).join('') !== trimmed || ms > Number.MAX_SAFE_INTEGER) {
    throw new DragonflyError('USAGE', `"${text}" is not a duration; write it like 3m0s or 500ms`)
  }
  return ms
}

/** Exactly, as Go writes durations: `180000` → `3m0s`, `500` → `500ms`. Reads back as the same, to the microsecond. */
export function formatExactDuration(ms: number): string {
  if (ms === 0) return '0s'
  if (ms < 1000) return `${Number(ms.toFixed(3))}ms`
  const hours = Math.floor(ms / UNIT_MS.h)
  const minutes = Math.floor((ms % UNIT_MS.h) / UNIT_MS.m)
  const seconds = `${Number(((ms % UNIT_MS.m) / 1000).toFixed(6))}s`
  if (hours > 0) return `${hours}h${minutes}m${seconds}`
  return minutes > 0 ? `${minutes}m${seconds}` : seconds
}

/** `83000` → `1m23s`. */
export function formatDuration(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)}s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}m${seconds % 60}s`
  return `${Math.floor(minutes / 60)}h${minutes % 60}m`
}
