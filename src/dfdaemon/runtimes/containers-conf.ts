import type { TomlTable } from 'smol-toml'
import { DragonflyError } from '../../core/error.ts'
import { componentOf, isRegistryName } from '../mirror/registry-in-path.ts'
import type { DaemonAddress } from './daemon-address.ts'
import { ANY_REGISTRY, type RegistryName } from './registry-name.ts'
import type { EditedFile, PresentFiles, RuntimeSetup, SetupPlan, SetupRequest } from './runtime-setup.ts'
import { unreadable } from './runtime-setup.ts'
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

/** podman, buildah, skopeo and CRI-O read the same files: containers-registries.conf(5), containers-registries.conf.d(5). */

const MAIN = '/etc/containers/registries.conf'
const DROP_INS = '/etc/containers/registries.conf.d'
const DROP_IN = `${DROP_INS}/50-dragonfly.conf`
const HEAD = '# dfdaemon setup podman, or crio; taken back by the same with --undo\n'

export const podmanSetup: RuntimeSetup = {
  name: 'podman',
  program: 'podman',
  plan(request, present) {
    if (isOlder(request.version, 2, 0)) throw tooOld('podman', '2.0')
    return plan(request, present)
  },
  without,
  commandFor: () => null,
}

export const crioSetup: RuntimeSetup = {
  name: 'crio',
  program: 'crio',
  plan(request, present) {
    if (isOlder(request.version, 1, 19)) throw tooOld('crio', '1.19')
    return plan(request, present)
  },
  without,
  commandFor: paths => (paths.length > 0 ? 'systemctl reload crio' : null),
}

function tooOld(name: string, since: string): DragonflyError {
  return new DragonflyError('USAGE', `${name} reads ${DROP_INS} from version ${since} on; this one is older`)
}

type RegistryTable = { readonly prefix: string; readonly path: string; readonly table: TomlTable }

function plan({ registries, daemon }: SetupRequest, present: PresentFiles): SetupPlan {
  if (registries.some(({ name }) => name === ANY_REGISTRY)) {
    throw new DragonflyError('USAGE', `${ANY_REGISTRY} is a name of containerd; name each registry here`)
  }
  for (const { name } of registries) checkName(name)
  const paths = [MAIN, ...present.list(`${DROP_INS}/*.conf`)]
  const tables = paths.flatMap(path => tablesOf(path, present.read(path)))
  const text = present.read(DROP_IN)
  const missing = registries.filter(({ name }) => {
    const table = tables.findLast(({ prefix }) => prefix === name)
    if (table === undefined) return true
    checkTable(table, daemon)
    return false
  })
  const files = new Map<string, string>()
  if (missing.length > 0) {
    const edited = [
      text === null ? HEAD : endedLine(text),
      ...missing.map(name => registryTable(name, daemon)),
    ].join('')
    parseToml(DROP_IN, edited)
    files.set(DROP_IN, edited)
  }
  return { files, notes: notesOn(registries, daemon, tables) }
}

/** It becomes a component of a repository's name (OCI distribution specification, "Pulling manifests"). */
function checkName(name: string): void {
  const isComponent = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/.test(componentOf(name))
  if (isComponent && isRegistryName(name)) return
  throw new DragonflyError(
    'USAGE',
    `${name} cannot be named to a mirror by these programs: they need a host's name with a dot or a port, or an IPv4 address`,
  )
}

function registryTable({ name, server }: RegistryName, daemon: DaemonAddress): string {
  const insecure = server?.startsWith('http:') ? 'insecure = true\n' : ''
  return `\n[[registry]]\nprefix = ${quoted(name)}\nlocation = ${quoted(name)}\n${insecure}\n${mirrorTable(name, daemon)}`
}

/** `insecure` means plain HTTP to a mirror that has no TLS. */
function mirrorTable(name: string, daemon: DaemonAddress): string {
  return `[[registry.mirror]]\nlocation = ${quoted(locationOf(name, daemon))}\n${daemon.usesTls ? '' : 'insecure = true\n'}`
}

/** The path is all by which these programs tell the mirror which registry they mean. */
function locationOf(name: string, { authority }: DaemonAddress): string {
  return `${authority}/${componentOf(name)}`
}

function tablesOf(path: string, text: string | null): RegistryTable[] {
  if (text === null) return []
  const { registry, registries } = parseToml(path, text)
  if (registries !== undefined) {
    throw unreadable(
      path,
      'is in the old form 1 ([registries.search] and the like); write it in form 2, see containers-registries.conf(5)',
    )
  }
  const tables = (registry ?? []) as TomlTable[]
  return tables.map(table => ({ prefix: String(table.prefix ?? table.location ?? ''), path, table }))
}

function mirrorsOf(table: TomlTable): TomlTable[] {
  return (table.mirror ?? []) as TomlTable[]
}

/** A table with the same prefix in a later file takes the place of the whole of an earlier one. */
function checkTable({ path, prefix, table }: RegistryTable, daemon: DaemonAddress): void {
  if (mirrorsOf(table).some(({ location }) => location === locationOf(prefix, daemon))) return
  throw unreadable(
    path,
    `has a [[registry]] for ${prefix} of its own, and two do not add up: the later one counts alone. ` +
      `Add to that one, before other mirrors:\n\n${mirrorTable(prefix, daemon)}`,
  )
}

function notesOn(
  registries: readonly RegistryName[],
  { authority }: DaemonAddress,
  tables: readonly RegistryTable[],
): string[] {
  const names = registries.map(({ name }) => name)
  const longer = tables.filter(({ prefix }) => names.some(name => prefix.startsWith(`${name}/`)))
  const entries = registries.map(({ name, server }) => `- name: ${name}\n  remote: ${server}`)
  return [
    `dfdaemon must know these registries by name. In its file dfdaemon.yml, for each but the one of registry_mirror:\n\nregistries:\n${entries.join('\n')}`,
    'Without its entry, dfdaemon looks for the images of a registry in that of registry_mirror, where they are not (404), and they come from the registry itself.',
    `Credentials belong to a host, and the mirror is one: for private images of the registry of registry_mirror, also run podman login ${authority} with the account that you have there. Other registries are asked without credentials; what they refuse then, even public images where they want a token for those, comes from the registry itself.`,
    ...longer.map(
      ({ path, prefix }) =>
        `${path} has a [[registry]] for ${prefix}, which counts for its images: they do not come through dfdaemon.`,
    ),
  ]
}

/** Whichever registry it is for. */
function leadsTo({ location }: TomlTable, { authority }: DaemonAddress): boolean {
  return location === authority || String(location).startsWith(`${authority}/`)
}

/** The mirror goes, and with it a table that says nothing more. */
function without({ path, text }: EditedFile, daemon: DaemonAddress): string | null {
  const parsed = parseToml(path, text)
  const registry = ((parsed.registry ?? []) as TomlTable[]).flatMap(table => {
    const present = mirrorsOf(table)
    const mirrors = present.filter(mirror => !leadsTo(mirror, daemon))
    if (mirrors.length === present.length) return [table]
    const { mirror: _, ...rest } = table
    if (mirrors.length > 0) return [{ ...rest, mirror: mirrors }]
    return saysNothing(rest) ? [] : [rest]
  })
  const { registry: _, ...others } = parsed
  if (registry.length === 0 && Object.keys(others).length === 0) return null
  const meant = registry.length === 0 ? others : { ...others, registry }
  return checkEdited(path, joinLines(withoutMirrors(tomlLines(text), daemon)), meant)
}

function saysNothing({ prefix, location, insecure: _, ...more }: TomlTable): boolean {
  return prefix === location && Object.keys(more).length === 0
}

function withoutMirrors(lines: readonly TomlLine[], daemon: DaemonAddress): TomlLine[] {
  const kept: TomlLine[] = []
  for (let i = 0; i < lines.length; ) {
    const next = lines.findIndex((line, at) => at > i && isPath(line.header, ['registry']))
    const isTable = isPath(lines[i].header, ['registry'])
    const end = next < 0 ? lines.length : next
    kept.push(...(isTable ? withoutMirror(lines.slice(i, end), daemon) : lines.slice(i, end)))
    i = end
  }
  return kept
}

/** Of the lines of one [[registry]]. */
function withoutMirror(lines: readonly TomlLine[], daemon: DaemonAddress): readonly TomlLine[] {
  const index = lines.findIndex((line, i) => {
    if (!isPath(line.header, ['registry', 'mirror'])) return false
    return leadsTo(parseToml('', joinLines(lines.slice(i + 1, endOfTable(lines, i)))), daemon)
  })
  if (index < 0) return lines
  const rest = lines.toSpliced(index, endOfTable(lines, index) - index)
  if (rest.some((line, i) => i > 0 && line.header !== null)) return rest
  const end = endOfTable(rest, 0)
  return saysNothing(parseToml('', joinLines(rest.slice(1, end)))) ? rest.slice(end) : rest
}
