import path from 'node:path'
import { formatDuration } from '../core/duration.ts'
import { formatSize } from '../core/size.ts'
import { oneLine } from '../core/text.ts'
import {
  BYTE_SOURCES,
  type BytesBySource,
  type RunResult,
  type RunSnapshot,
  totalBytes,
} from '../wire/local.ts'

/** How a running download looks to the person who started it. */
export type ProgressView = {
  update(progress: RunSnapshot): void
  finish(result: RunResult, output: string): void
  /** Clears what is half drawn, so that a line can stand there. */
  clear(): void
  fail(thrown: unknown): void
}

const BAR_WIDTH = 24

/** A line that is drawn again and again, for terminals. */
export function barView(write: (text: string) => void, columns: () => number): ProgressView {
  return {
    update(progress) {
      write(`\r\x1b[2K${progressLine(progress).slice(0, Math.max(20, columns() - 1))}`)
    },
    finish(result, output) {
      write(`\r\x1b[2K${summaryLine(result, output)}\n`)
    },
    clear: () => write('\r\x1b[2K'),
    fail: () => write('\r\x1b[2K'),
  }
}

/** One line now and then, for logs. */
export function plainView(write: (text: string) => void, now: () => number): ProgressView {
  let nextAt = now() + PLAIN_EVERY_MS
  return {
    update(progress) {
      if (now() < nextAt) return
      nextAt = now() + PLAIN_EVERY_MS
      write(`${progressLine(progress)}\n`)
    },
    finish: (result, output) => write(`${summaryLine(result, output)}\n`),
    clear() {},
    fail() {},
  }
}

export const silentView: ProgressView = { update() {}, finish() {}, clear() {}, fail() {} }

export function progressLine(progress: RunSnapshot): string {
  const { lengthBytes, heldBytes, rateBytesPerSecond } = progress
  const rate = `${formatSize(Math.round(rateBytesPerSecond))}/s`
  if (lengthBytes === null) return `${formatSize(heldBytes)}  ${rate}  ${state(progress)}`
  const share = lengthBytes === 0 ? 1 : heldBytes / lengthBytes
  const filled = Math.round(share * BAR_WIDTH)
  const bar = `[${'='.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}]`
  const remainingMs = ((lengthBytes - heldBytes) / Math.max(rateBytesPerSecond, 1)) * 1000
  const eta = rateBytesPerSecond > 0 && heldBytes < lengthBytes ? `ETA ${formatDuration(remainingMs)}` : ''
  const percent = `${Math.floor(share * 100)}%`.padStart(4)
  return `${percent} ${bar} ${formatSize(heldBytes)}/${formatSize(lengthBytes)}  ${rate}  ${eta}  ${state(progress)}`
}

function state(progress: RunSnapshot): string {
  return progress.waiting === null ? shares(progress.bytes) : `waiting for ${progress.waiting}`
}

export function summaryLine(result: RunResult, output: string): string {
  const { lengthBytes, seconds, bytes } = result
  const rate = formatSize(Math.round(lengthBytes / Math.max(seconds, 0.001)))
  const name = oneLine(path.basename(output))
  return `${name}: ${formatSize(lengthBytes)} in ${formatDuration(seconds * 1000)} (${rate}/s)  ${shares(bytes)}  ${result.digest ?? ''}`.trimEnd()
}

/** `peers 81%, supernode 19%`. */
export function shares(bytes: BytesBySource): string {
  const total = totalBytes(bytes)
  if (total === 0) return ''
  return BYTE_SOURCES.filter(source => bytes[source] > 0)
    .map(source => `${source} ${Math.round((bytes[source] / total) * 100)}%`)
    .join(', ')
}

const PLAIN_EVERY_MS = 2_000
