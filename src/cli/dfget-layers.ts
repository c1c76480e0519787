import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { type DfgetSettings, ROWS, SETTING_NAMES, type SettingName } from './dfget-settings.ts'

type SettingSource = 'flag' | 'environment' | 'file' | 'default'

/** What one source says of one setting. */
export type Said = {
  readonly texts: readonly string[]
  /** How the source calls it, for messages. */
  readonly as: string
}

/** What was written where, unparsed. Flags win over the environment, that over the file. */
export type Layers = {
  readonly flags: Partial<Record<SettingName, readonly string[]>>
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly file: ReadonlyMap<SettingName, Said>
}

export type EffectiveSettings = {
  readonly settings: DfgetSettings
  readonly sources: Readonly<Record<SettingName, SettingSource>>
}

/**
 * Puts the layers over each other. A setting that several name comes whole from the first; lists are not joined.
 * @throws DragonflyError USAGE, CONFIG_INVALID, USER_UNKNOWN
 */
export function compileSettings(layers: Layers): EffectiveSettings {
  const settings: Partial<Record<SettingName, unknown>> = {}
  const sources: Partial<Record<SettingName, SettingSource>> = {}
  for (const name of SETTING_NAMES) {
    const row = ROWS[name]
    const { source, said } = pickLayer(name, layers)
    sources[name] = source
    settings[name] = said === null ? row.fallback() : compileOne(name, source, said)
  }
  return {
    settings: Object.freeze(settings) as DfgetSettings,
    sources: sources as Record<SettingName, SettingSource>,
  }
}

function pickLayer(name: SettingName, layers: Layers): { source: SettingSource; said: Said | null } {
  const flag = layers.flags[name]
  if (flag !== undefined) return { source: 'flag', said: { texts: flag, as: ROWS[name].flags } }
  const variable = ROWS[name].environment.find(variable => layers.environment[variable])
  if (variable !== undefined) {
    return {
      source: 'environment',
      said: { texts: written(name, layers.environment[variable]!), as: variable },
    }
  }
  const said = layers.file.get(name)
  return said === undefined ? { source: 'default', said: null } : { source: 'file', said }
}

/** A variable is one text; a list in it has a line for each, where a comma is not enough. */
function written(name: SettingName, text: string): string[] {
  return ROWS[name].isList ? text.split('\n') : [text]
}

function compileOne(name: SettingName, source: SettingSource, { texts, as }: Said): unknown {
  try {
    return ROWS[name].compile(texts)
  } catch (thrown) {
    const { message } = toDragonflyError(thrown)
    const code = source === 'flag' ? 'USAGE' : 'CONFIG_INVALID'
    throw new DragonflyError(code, `${as}: ${message}`, { cause: thrown })
  }
}
