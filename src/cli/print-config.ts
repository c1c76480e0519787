import { stringify } from 'yaml'
import type { EffectiveSettings } from './dfget-layers.ts'
import { ROWS, SETTING_NAMES } from './dfget-settings.ts'

/** The settings in force as a configuration file, each with its source. What belongs to one download is a comment. Secrets are redacted. */
export function printConfig({ settings, sources }: EffectiveSettings): string {
  const lines: string[] = []
  let section = ''
  for (const name of SETTING_NAMES) {
    const { key, isPerCommand, show } = ROWS[name]
    if (isPerCommand && sources[name] === 'default') continue
    const [parent, child] = key.includes('.') ? key.split('.') : ['', key]
    if (parent !== section && parent !== '') lines.push(`${parent}:`)
    section = parent
    const [first, ...rest] = stringify({ [child]: scalar(show(settings[name])) }, { lineWidth: 0 })
      .trimEnd()
      .split('\n')
    const indent = `${isPerCommand ? '# ' : ''}${parent === '' ? '' : '  '}`
    lines.push(`${indent}${first} # ${sources[name]}`, ...rest.map(line => indent + line))
  }
  return `${lines.join('\n')}\n`
}

/** Switches and counts without quotes. */
function scalar(shown: string | string[] | null): unknown {
  if (typeof shown !== 'string') return shown
  if (shown === 'true' || shown === 'false') return shown === 'true'
  return /^(?:0|[1-9]\d{0,8})$/.test(shown) ? Number(shown) : shown
}
