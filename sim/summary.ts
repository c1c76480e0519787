import { formatRate } from '../src/core/rate.ts'
import { formatSize } from '../src/core/size.ts'
import { drawCompletion } from './curve.ts'
import type { SimResult, Simulated } from './result.ts'
import type { Scenario } from './scenario.ts'

/** A simulation in words, for people. */

export function describeSimulation({ result, samples }: Simulated, scenario: Scenario): string {
  const { bytes } = result
  const sum = Math.max(1, bytes.peers + bytes.seed + bytes.origin)
  const share = (part: number) => `${formatSize(part)} (${((100 * part) / sum).toFixed(1)} %)`
  const failures = Object.entries(result.failures).map(([code, count]) => `${count} × ${code}`)
  const ended = [
    `${result.finished} of ${result.peers}`,
    ...(result.gone > 0 ? [`${result.gone} gone before`] : []),
    ...(result.failed > 0 ? [`${result.failed} failed`, ...failures] : []),
  ]
  const rows: [string, string][] = [
    ['peers finished', ended.join(', ')],
    [
      'content',
      `${formatSize(result.lengthBytes)}, ${result.pieces} pieces of ${formatSize(result.pieceLength)}`,
    ],
    ['links', linksOf(scenario)],
    ['policy, seed', `${result.policy}, ${result.seed}`],
    ['bound', `${result.boundSeconds.toFixed(3)} s by ${result.bound}: ${result.boundReason}`],
    ['last, p95, p50', [result.lastSeconds, result.p95Seconds, result.p50Seconds].map(seconds).join(', ')],
    ['factor over the bound', result.factor === null ? 'nobody finished' : result.factor.toFixed(3)],
    ...(scenario.slowShare > 0
      ? [['fast peers, p50 ÷ own bound', String(result.fastP50Factor)] as [string, string]]
      : []),
    ['from peers', share(bytes.peers)],
    ['from the seed', share(bytes.seed)],
    ['from the origin', share(bytes.origin)],
    ['origin factor', `${result.originFactor.toFixed(3)} × the file`],
    ['cross-zone factor', `${result.crossZoneFactor.toFixed(3)} × once per piece and zone`],
    ['control messages per piece', result.controlMessagesPerPiece.toFixed(2)],
    ['mean readable prefix', `${(100 * result.meanReadablePrefix).toFixed(1)} % of the file`],
  ]
  return `${table(rows)}\n\n${drawCompletion(samples, result)}\n`
}

/** One row per policy. `recorded` is what the real swarm did. */
export function comparePolicies(
  results: readonly SimResult[],
  recorded: { lastSeconds: number | null; p50Seconds: number | null } | null = null,
): string {
  const head = ['', 'last', 'p50', 'factor', 'finished', 'messages/piece', 'cross-zone', 'readable prefix']
  const rows = results.map(result => [
    result.policy,
    seconds(result.lastSeconds),
    seconds(result.p50Seconds),
    result.factor?.toFixed(3) ?? '–',
    `${result.finished}/${result.peers}`,
    result.controlMessagesPerPiece.toFixed(2),
    result.crossZoneFactor.toFixed(2),
    `${(100 * result.meanReadablePrefix).toFixed(0)} %`,
  ])
  const before = recorded
    ? [['recorded', seconds(recorded.lastSeconds), seconds(recorded.p50Seconds), '', '', '', '', '']]
    : []
  return `${columns([head, ...before, ...rows])}\n`
}

/** Columns as wide as their widest cell; the first is left-aligned. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, i) => Math.max(...rows.map(row => row[i].length)))
  return rows
    .map(row =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function table(rows: readonly [string, string][]): string {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n')
}

function linksOf({
  up,
  down,
  supernodes,
  supernodeUp,
  zones,
  zoneRate,
  originRate,
  isWarm,
}: Scenario): string {
  const parts = [
    `up ${formatRate(up)}, down ${formatRate(down)}`,
    `${supernodes === 1 ? 'one supernode' : `${supernodes} supernodes`} up ${formatRate(supernodeUp)}`,
  ]
  if (zones > 1) parts.push(`${zones} zones, lines ${formatRate(zoneRate)}`)
  parts.push(isWarm ? 'the supernode holds the content' : `empty cache, origin ${formatRate(originRate)}`)
  return parts.join('; ')
}

function seconds(value: number | null): string {
  return value === null ? '–' : `${value.toFixed(3)} s`
}
