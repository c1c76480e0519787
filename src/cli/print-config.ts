import { stringify } from 'yaml'
import type { EffectiveSettings } from './dfget-layers.ts'
import { type DfgetSettings, ROWS, SETTING_NAMES, type SettingName } from './dfget-settings.ts'
import { shownUrl } from './shown-url.ts'

/** The settings in force as a configuration file, each with its source. What belongs to one download is a comment. Secrets are redacted. */
export function printConfig({ settings, sources }: EffectiveSettings): string {
  const lines: string[] = []
  let section = ''
  for (const name of SETTING_NAMES) {
    const { key, isPerCommand } = ROWS[name]
    if (isPerCommand && sources[name] === 'default') continue
    const [parent, child] = key.includes('.') ? key.split('.') : ['', key]
    if (parent !== section && parent !== '') lines.push(`${parent}:`)
    section = parent
    const [first, ...rest] = stringify({ [child]: scalar(shown(name, settings)) }, { lineWidth: 0 })
      .trimEnd()
      .split('\n')
    const indent = `${isPerCommand ? '# ' : ''}${parent === '' ? '' : '  '}`
    lines.push(`${indent}${first} # ${sources[name]}`, ...rest.map(line => indent + line))
  }
  return `${lines.join('\n')}\n`
}

/** What is no part of a URL here is a setting of its own. */
function shown(name: SettingName, settings: DfgetSettings): string | string[] | null {
  const { url, filter } = settings
  return name === 'url' && url !== null ? shownUrl(url, filter) : ROWS[name].show(settings[name])
}

/** Switches and counts without quotes. */
function scalar(text: string | string[] | null): unknown {
  if (typeof text !== 'string') return text
  if (text === 'true' || text === 'false') return text === 'true'
  return /^(?:0|[1-9]\d{0,8})$/.test(text) ? Number(text) : text
}
