import { DragonflyError } from './error.ts'

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/**
 * Parses Go-style durations (`3m0s`, `500ms`, `1h`, `0`) into milliseconds.
 * @throws DragonflyError USAGE
 */
export function parseDuration(text: string): number {
  const trimmed = text.trim()
  if (trimmed === '0') return 0
  const parts = [...trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  const ms = parts.reduce((sum, part) => sum + Number(part[1]) * UNIT_MS[part[2]], 0)
  if (parts.length === 0 || parts.map(part => part[0]).join('') !== trimmed || ms > Number.MAX_SAFE_INTEGER) {
    throw new DragonflyError('USAGE', `"${text}" is not a duration; write it like 3m0s or 500ms`)
  }
  return ms
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
