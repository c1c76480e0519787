import type { SimResult } from './result.ts'
import type { Sample } from './sampler.ts'

/** A plot for terminals: peers that are complete, over time. */

const WIDTH = 64
const HEIGHT = 10
const EIGHTHS = ' ▁▂▃▄▅▆▇█'

export function drawCompletion(
  samples: readonly Sample[],
  { peers, boundSeconds, lengthBytes }: SimResult,
): string {
  const end = Math.max(samples.at(-1)?.seconds ?? 0, boundSeconds)
  const complete: number[] = []
  const arrived: number[] = []
  for (let column = 0; column < WIDTH; column++) {
    const sample = sampleAt(samples, (end * (column + 1)) / WIDTH)
    complete.push(sample.finished / peers)
    arrived.push((sample.fromPeers + sample.fromSeed + sample.fromOrigin) / (peers * lengthBytes))
  }
  const lines: string[] = []
  for (let row = HEIGHT - 1; row >= 0; row--) {
    const label = row === HEIGHT - 1 ? '100 %' : row === 0 ? '  0 %' : '     '
    const cells = complete.map((share, column) => cell(share, arrived[column], row))
    lines.push(`${label} │${cells.join('')}`)
  }
  const mark = Math.min(WIDTH - 1, Math.round((boundSeconds / end) * WIDTH))
  const axis = Array.from({ length: WIDTH }, (_, column) => (column === mark ? '┴' : '─')).join('')
  lines.push(`      └${axis}`)
  const label = `bound ${boundSeconds.toFixed(1)} s`
  const last = `${end.toFixed(1)} s`
  const at = Math.max(0, Math.min(mark - label.length + 1, WIDTH - label.length - last.length - 1))
  lines.push(`       ${(' '.repeat(at) + label).padEnd(WIDTH - last.length)}${last}`)
  lines.push('       █ peers that are complete   · bytes that have arrived')
  return lines.join('\n')
}

function cell(complete: number, arrived: number, row: number): string {
  const eighths = Math.round(complete * HEIGHT * 8) - row * 8
  if (eighths > 0) return EIGHTHS[Math.min(8, eighths)]
  return Math.floor(Math.min(0.999, arrived) * HEIGHT) === row ? '·' : ' '
}

/** How it stood at `seconds`. Samples are ascending. */
function sampleAt(samples: readonly Sample[], seconds: number): Sample {
  let [low, high] = [0, samples.length - 1]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (samples[middle].seconds <= seconds) low = middle
    else high = middle - 1
  }
  return samples[low]
}
