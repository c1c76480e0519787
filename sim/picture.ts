import { formatSize } from '../src/core/size.ts'
import type { SimResult } from './result.ts'
import type { Sample } from './sampler.ts'

/** One SVG with three panels under each other; it needs nothing else. */

const WIDTH = 760
const PANEL = { left: 64, width: 660, height: 190, gap: 78, top: 84 }
const COLORS = { peers: '#2a7f62', seed: '#e0a030', origin: '#b03a48', line: '#1f4e8c', bound: '#777777' }

type Panel = { readonly top: number; x(seconds: number): number; y(share: number): number }

export function drawPicture(samples: readonly Sample[], result: SimResult): string {
  const end = Math.max(samples.at(-1)?.seconds ?? 0, result.boundSeconds, 1e-6)
  const panels = [0, 1, 2].map((_, i): Panel => {
    const top = PANEL.top + i * (PANEL.height + PANEL.gap)
    return {
      top,
      x: seconds => PANEL.left + (seconds / end) * PANEL.width,
      y: share => top + PANEL.height * (1 - Math.min(1, share)),
    }
  })
  const height = PANEL.top + 3 * (PANEL.height + PANEL.gap)
  const factor = result.factor === null ? 'nobody finished' : `factor ${result.factor.toFixed(3)}`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="13" fill="#222222">`,
    `<title>Simulated distribution to ${result.peers} peers</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(
      PANEL.left,
      28,
      `${result.peers} peers, ${formatSize(result.lengthBytes)} in ${result.pieces} pieces`,
      18,
    ),
    text(
      PANEL.left,
      48,
      `policy ${result.policy}, seed ${result.seed}: ${factor} over the bound of ${result.boundSeconds.toFixed(2)} s (${result.bound})`,
    ),
    ...completion(panels[0], samples, { result, end }),
    ...bySource(panels[1], samples, { result, end }),
    ...progress(panels[2], samples, { result, end }),
    '</svg>',
    '',
  ].join('\n')
}

type Subject = { readonly result: SimResult; readonly end: number }

function completion(panel: Panel, samples: readonly Sample[], { result, end }: Subject): string[] {
  const points = samples.map(({ seconds, finished }) => point(panel, seconds, finished / result.peers))
  return [
    ...frame(panel, end, { title: 'Peers that are complete', top: String(result.peers) }),
    boundLine(panel, result),
    `<polyline points="${points.join(' ')}" fill="none" stroke="${COLORS.line}" stroke-width="2"/>`,
  ]
}

function bySource(panel: Panel, samples: readonly Sample[], { result, end }: Subject): string[] {
  const last = samples.at(-1)
  const all = Math.max(1, last ? last.fromPeers + last.fromSeed + last.fromOrigin : 0)
  const layers = [
    { name: 'peers', color: COLORS.peers, upTo: (s: Sample) => s.fromOrigin + s.fromSeed + s.fromPeers },
    { name: 'seed', color: COLORS.seed, upTo: (s: Sample) => s.fromOrigin + s.fromSeed },
    { name: 'origin', color: COLORS.origin, upTo: (s: Sample) => s.fromOrigin },
  ]
  const areas = layers.map(({ color, upTo }) => {
    const points = samples.map(sample => point(panel, sample.seconds, upTo(sample) / all))
    const closed = [point(panel, 0, 0), ...points, point(panel, last?.seconds ?? 0, 0)]
    return `<polygon points="${closed.join(' ')}" fill="${color}"/>`
  })
  const legend = layers.flatMap(({ name, color }, i) => {
    const x = PANEL.left + 12 + i * 190
    const bytes = formatSize(result.bytes[name as keyof SimResult['bytes']])
    return [
      `<rect x="${x}" y="${panel.top + 10}" width="12" height="12" fill="${color}" stroke="#ffffff"/>`,
      text(x + 18, panel.top + 21, `from ${name === 'peers' ? 'peers' : `the ${name}`}: ${bytes}`),
    ]
  })
  const backing = `<rect x="${PANEL.left + 4}" y="${panel.top + 4}" width="570" height="24" fill="#ffffff" opacity="0.85"/>`
  return [
    ...frame(panel, end, { title: 'Bytes by source', top: formatSize(all) }),
    ...areas,
    backing,
    ...legend,
  ]
}

function progress(panel: Panel, samples: readonly Sample[], { result, end }: Subject): string[] {
  const all = result.peers * result.lengthBytes
  const points = samples.map(s => point(panel, s.seconds, (s.fromPeers + s.fromSeed + s.fromOrigin) / all))
  const ideal = `${point(panel, 0, 0)} ${point(panel, result.boundSeconds, 1)}`
  return [
    ...frame(panel, end, { title: 'Progress of all, against the bound', top: '100 %' }),
    boundLine(panel, result),
    `<polyline points="${ideal}" fill="none" stroke="${COLORS.bound}" stroke-width="1.5" stroke-dasharray="6 4"/>`,
    `<polyline points="${points.join(' ')}" fill="none" stroke="${COLORS.line}" stroke-width="2"/>`,
    text(
      PANEL.left + 12,
      panel.top + 20,
      result.factor === null ? '' : `last ÷ bound = ${result.factor.toFixed(3)}`,
    ),
  ]
}

function frame(panel: Panel, end: number, labels: { title: string; top: string }): string[] {
  const { left, width, height } = PANEL
  const bottom = panel.top + height
  const ticks = [0, 0.25, 0.5, 0.75, 1].map(share =>
    text(left + share * width, bottom + 17, `${(share * end).toFixed(end < 10 ? 2 : 1)} s`, 12, 'middle'),
  )
  return [
    text(left, panel.top - 8, labels.title, 14),
    `<rect x="${left}" y="${panel.top}" width="${width}" height="${height}" fill="none" stroke="#bbbbbb"/>`,
    text(left - 6, panel.top + 11, labels.top, 12, 'end'),
    text(left - 6, bottom, '0', 12, 'end'),
    ...ticks,
  ]
}

function boundLine(panel: Panel, { boundSeconds }: SimResult): string {
  const x = panel.x(boundSeconds).toFixed(1)
  return `<line x1="${x}" x2="${x}" y1="${panel.top}" y2="${panel.top + PANEL.height}" stroke="${COLORS.bound}" stroke-dasharray="2 3"/>`
}

function point(panel: Panel, seconds: number, share: number): string {
  return `${panel.x(seconds).toFixed(1)},${panel.y(share).toFixed(1)}`
}

function text(x: number, y: number, words: string, size = 13, anchor = 'start'): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" font-size="${size}" text-anchor="${anchor}">${escaped(words)}</text>`
}

function escaped(words: string): string {
  return words.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}
