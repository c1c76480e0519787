import { formatDuration } from '../core/duration.ts'
import { ERROR_TABLE } from '../core/error.ts'
import { formatSize } from '../core/size.ts'
import { oneLine } from '../core/text.ts'
import { calendarTime } from '../ops/system-clock.ts'
import type { RunRecord } from '../peer/run-record.ts'
import { TIME_REASONS, type TimeReason } from '../peer/run-times.ts'
import { BYTE_SOURCES, totalBytes } from '../wire/local.ts'

/** A recorded download as a person reads it. */

const BAR_WIDTH = 30
const SOURCES_SHOWN = 12
const RETRIES_SHOWN = 12

const SAYS: Readonly<Record<TimeReason, string>> = {
  transfer: 'transferring',
  supernode: 'waiting for a supernode',
  layout: 'waiting for its answer',
  schedule: 'waiting for the schedule',
  slot: "waiting for a source's slot",
  slow: 'waiting for slow sources',
  origin: 'waiting for the origin',
  backoff: 'pausing before a retry',
  disk: 'waiting for the disk',
  digest: 'verifying the digest',
  standstill: 'the process stood still',
}

export function explanationOf(record: RunRecord): string {
  const sections = [head(record), times(record), sources(record), retries(record)]
  return `${sections
    .filter(lines => lines.length > 0)
    .map(lines => lines.map(oneLine).join('\n'))
    .join('\n\n')}\n`
}

/** A line for each, with the beginning of the task id that `dfget explain` takes. */
export function listOf(records: readonly RunRecord[], file: string): string {
  if (records.length === 0) return `no download is recorded in ${oneLine(file)}\n`
  const rows = records.map(record => [
    record.taskId.slice(0, 12),
    calendarTime(record.startedAt),
    spanOf(record.durationMs),
    record.lengthBytes === null ? '?' : formatSize(record.lengthBytes),
    record.failure?.code ?? 'complete',
    record.url,
  ])
  return `${table(rows).map(oneLine).join('\n')}\n`
}

function head(record: RunRecord): string[] {
  const { taskId, url, name, startedAt, durationMs, lengthBytes, digest, node, failure } = record
  const length = lengthBytes === null ? 'length unknown' : formatSize(lengthBytes)
  const ended = failure === null ? 'complete' : `${failure.code}: ${failure.message}`
  const rows = [
    ['task', taskId],
    ['url', url],
    ['file', `${name}, ${length}`],
    ['digest', digest ?? ''],
    ['when', `${calendarTime(startedAt)}, took ${spanOf(durationMs)}`],
    ['supernode', node ?? 'none answered'],
    ['bytes', bytesBySource(record)],
    ['ended', ended],
    ['', failure === null ? '' : ERROR_TABLE[failure.code].hint],
  ]
  return rows.filter(([, value]) => value !== '').map(([key, value]) => `${key.padEnd(11)}${value}`)
}

function bytesBySource({ bytes }: RunRecord): string {
  const total = totalBytes(bytes)
  if (total === 0) return 'none'
  return BYTE_SOURCES.filter(from => bytes[from] > 0)
    .map(from => `${from} ${formatSize(bytes[from])} (${percent(bytes[from], total)})`)
    .join(', ')
}

/** Waits by their length, the transfer first. */
function times({ timeMs, durationMs }: RunRecord): string[] {
  const spent = TIME_REASONS.map(reason => ({ reason, ms: timeMs[reason] ?? 0 }))
    .filter(({ ms }) => ms > 0)
    .toSorted((a, b) => Number(b.reason === 'transfer') - Number(a.reason === 'transfer') || b.ms - a.ms)
  const rows = spent.map(({ reason, ms }) => [
    `  ${SAYS[reason]}`,
    spanOf(ms),
    percent(ms, durationMs),
    '#'.repeat(Math.max(1, Math.round((ms / durationMs) * BAR_WIDTH))),
  ])
  return rows.length === 0 ? [] : ['where the time went', ...table(rows, [1, 2])]
}

function sources({ sources, otherSources }: RunRecord): string[] {
  if (sources.length === 0) return []
  const shown = sources.slice(0, SOURCES_SHOWN)
  const hidden = sources.slice(SOURCES_SHOWN)
  const rows = shown.map(({ address, kind, bytes, pieces, receiveMs }) => [
    `  ${address}`,
    kind === 'origin' ? '' : kind,
    formatSize(bytes),
    receiveMs > 0 ? `${formatSize(Math.round((bytes * 1000) / receiveMs))}/s` : '-',
    `${pieces} ${pieces === 1 ? 'piece' : 'pieces'}`,
  ])
  const count = hidden.length + otherSources.count
  const bytes = hidden.reduce((sum, source) => sum + source.bytes, otherSources.bytes)
  const more = count > 0 ? [`  and ${count} more with ${formatSize(bytes)}`] : []
  return ['sources', ...table(rows, [2, 3, 4]), ...more]
}

function retries({ retries, retryCount }: RunRecord): string[] {
  if (retryCount === 0) return []
  const rows = retries
    .slice(0, RETRIES_SHOWN)
    .map(({ source, code, count }) => [`  ${source}`, `${count} ×`, code, ERROR_TABLE[code].hint])
  const shown = retries.slice(0, RETRIES_SHOWN).reduce((sum, { count }) => sum + count, 0)
  const more = retryCount > shown ? [`  and ${retryCount - shown} more`] : []
  return [`retries: ${retryCount}`, ...table(rows, [1]), ...more]
}

function spanOf(ms: number): string {
  return ms < 1000 ? `${ms} ms` : formatDuration(ms)
}

/** What is more than nothing never shows as none of it. */
function percent(part: number, whole: number): string {
  const share = whole === 0 ? 0 : (part / whole) * 100
  return part > 0 && share < 1 ? '<1%' : `${Math.round(share)}%`
}

/** Columns as wide as their widest cell; those named are flush right. */
function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column].length)))
  return rows.map(row =>
    row
      .map((cell, column) =>
        right.includes(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
      )
      .join('  ')
      .trimEnd(),
  )
}
