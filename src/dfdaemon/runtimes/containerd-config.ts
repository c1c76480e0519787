import type { TomlTable } from 'smol-toml'
import type { EditedFile, PresentFiles } from './runtime-setup.ts'
import { unreadable } from './runtime-setup.ts'
import type { RuntimeVersion } from './runtime-version.ts'
import { isOlder } from './runtime-version.ts'
import {
  checkEdited,
  endedLine,
  endOfTable,
  isPath,
  joinLines,
  parseToml,
  quoted,
  type TomlLine,
  tomlLines,
} from './toml-text.ts'

/** The one setting of containerd's `config.toml` that matters here: `config_path` in the `registry` table of the plug-in that pulls images. */

export type ContainerdConfig = {
  readonly path: string
  /** Null where there is no such file yet. */
  readonly text: string | null
  readonly parsed: TomlTable
  /** Path of the `registry` table, which depends on the file's version. */
  readonly table: readonly string[]
}

/** By the version of the file; later ones are as the last. */
const TABLES = ['cri', 'io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images'].map(plugin => [
  'plugins',
  plugin,
  'registry',
])
const HOSTS_DIRECTORY = '/etc/containerd/certs.d'
const MAIN_CONFIG = '/etc/containerd/config.toml'
/** What containerd imports where its file does not say otherwise, from 2.2 on. */
const USUAL_IMPORTS = ['/etc/containerd/conf.d/*.toml']

/**
 * The main file with what it imports, and which of them must hold the setting. Before 2.0 a file that mentions the plug-in replaces all that
 * earlier ones said of it, so the last that does is the one; later versions merge, and the last wins there too.
 * @throws DragonflyError CONFIG_INVALID
 */
export function containerdConfigs(
  present: PresentFiles,
  version: RuntimeVersion | null,
): { configs: readonly ContainerdConfig[]; target: ContainerdConfig } {
  const text = present.read(MAIN_CONFIG)
  const created = version === null || !isOlder(version, 2, 0) ? 3 : 2
  const main = compileConfig(MAIN_CONFIG, text, text === null ? created : 1)
  const configs = [main]
  const imports = main.parsed.imports ?? (isOlder(version, 2, 2) ? [] : USUAL_IMPORTS)
  const queue = [imports].flat().map(String)
  for (let pattern = queue.shift(); pattern !== undefined; pattern = queue.shift()) {
    const absolute = pattern.startsWith('/') ? pattern : `${directoryOf(MAIN_CONFIG)}/${pattern}`
    for (const path of present.list(absolute)) {
      if (configs.some(config => config.path === path)) continue
      const config = compileConfig(path, present.read(path), versionOf(main.parsed, 1))
      configs.push(config)
      queue.push(...[config.parsed.imports ?? []].flat().map(String))
    }
  }
  for (const config of configs) checkDeprecated(config)
  const target = configs.findLast(({ parsed, table }) => tableAt(parsed, table.slice(0, 2)) !== null) ?? main
  return { configs, target }
}

/** The directory to use where this is the present setting. */
export function hostsDirectoryOf(configPath: string | null): string {
  return configPath?.split(':').find(part => part !== '') ?? HOSTS_DIRECTORY
}

export function configPathOf({ parsed, table }: ContainerdConfig): string | null {
  const value = tableAt(parsed, table)?.config_path
  return typeof value === 'string' && value !== '' ? value : null
}

/** @throws DragonflyError CONFIG_INVALID */
export function withConfigPath(config: ContainerdConfig, directory: string): string {
  const { path, text, table } = config
  const heading = `[${table.map((key, i) => (i === 1 && key !== 'cri' ? quoted(key) : key)).join('.')}]\n`
  const setting = `config_path = ${quoted(directory)}`
  if (text === null) return `version = ${config.parsed.version}\n\n${heading}  ${setting}\n`
  const meant = structuredClone(config.parsed)
  ensureTable(meant, table).config_path = directory
  const lines = tomlLines(text)
  const { header: index, pair } = findSetting(lines, table)
  if (index < 0) return checkEdited(path, `${endedLine(text)}\n${heading}  ${setting}\n`, meant)
  const edited =
    pair < 0
      ? joinLines([
          ...lines.slice(0, index),
          endedLine(lines[index].text),
          `${/^[^\S\n]*/.exec(lines[index].text)![0]}  ${setting}\n`,
          ...lines.slice(index + 1),
        ])
      : joinLines(
          lines.with(pair, {
            ...lines[pair],
            text: lines[pair].text.replace(SETTING, (_, key) => key + quoted(directory)),
          }),
        )
  return checkEdited(path, edited, meant)
}

/** One that names another directory by now is somebody else's. @throws DragonflyError CONFIG_INVALID */
export function withoutConfigPath({ path, text, before }: EditedFile): string | null {
  const parsed = parseToml(path, text)
  const parsedBefore = before === null ? {} : parseToml(path, before)
  for (const table of TABLES) {
    const previous = tableAt(parsedBefore, table)?.config_path
    const was = typeof previous === 'string' ? previous : null
    if (tableAt(parsed, table)?.config_path !== hostsDirectoryOf(was)) continue
    if (was !== null) return withConfigPath({ path, text, parsed, table }, was)
    return withoutSetting({ path, text, parsed, table }, before === null)
  }
  return text
}

function withoutSetting(
  { path, text, parsed, table }: ContainerdConfig & { text: string },
  isOurs: boolean,
): string | null {
  const lines = tomlLines(text)
  const { header, pair } = findSetting(lines, table)
  const isSkeleton = (line: TomlLine, i: number) =>
    i === header || i === pair || line.text.trim() === '' || /^\s*version\s*=/.test(line.text)
  if (isOurs && lines.every(isSkeleton)) return null
  const meant = structuredClone(parsed)
  delete ensureTable(meant, table).config_path
  return checkEdited(path, joinLines(lines.filter((_, i) => i !== pair)), meant)
}

/** Indices of the table and of the setting in it, each -1 where it is not written as a line of its own. */
function findSetting(lines: readonly TomlLine[], table: readonly string[]): { header: number; pair: number } {
  const header = lines.findIndex(line => isPath(line.header, table))
  const end = header < 0 ? 0 : endOfTable(lines, header)
  return { header, pair: lines.findIndex((line, i) => i > header && i < end && SETTING.test(line.text)) }
}

const SETTING = /^(\s*(?:config_path|"config_path"|'config_path')\s*=\s*)(?:"[^"\\\n]*"|'[^'\n]*')/

function compileConfig(path: string, text: string | null, usualVersion: number): ContainerdConfig {
  const parsed = text === null ? { version: usualVersion } : parseToml(path, text)
  const version = versionOf(parsed, usualVersion)
  return { path, text, parsed, table: TABLES[Math.min(version, TABLES.length) - 1] }
}

/** A file without version is one of version 1, or of the file's that imports it. */
function versionOf(parsed: TomlTable, usual: number): number {
  return typeof parsed.version === 'number' && parsed.version > 0 ? parsed.version : usual
}

/** containerd does not load the plug-in where both ways of naming registries are used (`ValidateRegistry` of its CRI configuration). */
function checkDeprecated({ path, parsed, table }: ContainerdConfig): void {
  const registry = tableAt(parsed, table)
  const mirrors = Object.keys(tableAt(registry ?? {}, ['mirrors']) ?? {})
  const trusts = Object.entries(tableAt(registry ?? {}, ['configs']) ?? {}).filter(
    ([, value]) => tableAt(value as TomlTable, ['tls']) !== null,
  )
  if (mirrors.length === 0 && trusts.length === 0) return
  const [kind, names] =
    mirrors.length > 0 ? ['mirrors', mirrors] : ['configs.*.tls', trusts.map(([name]) => name)]
  throw unreadable(
    path,
    `has the deprecated registry.${kind} (${names.join(', ')}), beside which containerd refuses config_path: ` +
      'write them as hosts.toml of their own (docs/hosts.md of containerd), take them out, and run this again',
  )
}

function tableAt(table: TomlTable, path: readonly string[]): TomlTable | null {
  let at: unknown = table
  for (const key of path) {
    if (typeof at !== 'object' || at === null) return null
    at = (at as TomlTable)[key]
  }
  return typeof at === 'object' && at !== null ? (at as TomlTable) : null
}

function ensureTable(table: TomlTable, path: readonly string[]): TomlTable {
  let at = table
  for (const key of path) {
    at[key] ??= {}
    at = at[key] as TomlTable
  }
  return at
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
