import { readFile } from 'node:fs/promises'
import { DragonflyError } from '../core/error.ts'
import type { Layers, Said } from './dfget-layers.ts'
import { ROWS, SETTING_NAMES, type SettingName } from './dfget-settings.ts'
import { nearestName } from './nearest-name.ts'

/** Where dfget looks for its configuration unless told otherwise; the first file that is there is the only one. */
const CONFIG_FILES: readonly string[] = [
  '/etc/dragonfly/dfget.yml',
  '/etc/dragonfly/dfget.yaml',
  '/etc/dragonfly.conf',
]

/** One value of a file, or several of a list. */
export type Entry = { readonly key: string; readonly texts: readonly string[]; readonly line: number }

type FileSettings = Layers['file']

/**
 * What the file says. `named` is the one that the user named: null for the usual places, empty for none.
 * @throws DragonflyError CONFIG_INVALID, with the line where there is one
 */
export async function readConfigFile(
  named: string | null,
  usual: readonly string[] = CONFIG_FILES,
): Promise<FileSettings> {
  if (named === '') return new Map()
  for (const file of named === null ? usual : [named]) {
    const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      const isAbsent = cause.code === 'ENOENT' || cause.code === 'ENOTDIR'
      if (named === null && isAbsent) return null
      throw new DragonflyError('CONFIG_INVALID', `${file} cannot be read: ${cause.message}`, { cause })
    })
    if (text !== null) return settingsOf(file, await parseEntries(file, text))
  }
  return new Map()
}

async function parseEntries(file: string, text: string): Promise<Entry[]> {
  if (/\.(?:conf|ini)$/.test(file)) return parseIni(file, text)
  // Most hosts have no file, and then need no parser.
  const { parseYamlEntries } = await import('./yaml-entries.ts')
  return parseYamlEntries(file, text)
}

function settingsOf(file: string, entries: readonly Entry[]): FileSettings {
  const byKey = new Map(
    SETTING_NAMES.filter(name => !ROWS[name].isPerCommand).map(name => [ROWS[name].key, name]),
  )
  const said = new Map<SettingName, Said>()
  for (const { key, texts, line } of entries) {
    const name = byKey.get(key)
    if (name === undefined) {
      const nearest = nearestName(key, [...byKey.keys()])
      const advice = `"${key}" is not known, did you mean "${nearest}"?`
      throw new DragonflyError('CONFIG_INVALID', `${file}:${line}: ${advice}`)
    }
    const as = `${file}:${line}: ${key}`
    if (texts.length > 1 && !ROWS[name].isList) {
      throw new DragonflyError('CONFIG_INVALID', `${as}: one value is wanted, not a list`)
    }
    if (texts.length > 0) said.set(name, { texts, as })
  }
  return said
}

/** The form of old: a section `[node]` with `address=a,b`. */
function parseIni(file: string, text: string): Entry[] {
  const entries: Entry[] = []
  let section = ''
  for (const [index, written] of text.split('\n').entries()) {
    const line = index + 1
    const plain = written.trim()
    if (plain === '' || plain.startsWith('#') || plain.startsWith(';')) continue
    const head = /^\[([^\]]*)\]$/.exec(plain)
    const pair = /^([^=]+?)\s*=\s*(.*)$/.exec(plain)
    if (head) section = head[1].trim()
    else if (section === 'node' && pair?.[1] === 'address')
      entries.push({ key: 'nodes', texts: [pair[2]], line })
    else {
      const what = pair
        ? `"${pair[1]}" in section "${section}" is not known`
        : 'this is not a line of an INI file'
      throw new DragonflyError(
        'CONFIG_INVALID',
        `${file}:${line}: ${what}; there is "address" in section "node", everything else needs a .yml file`,
      )
    }
  }
  return entries
}
