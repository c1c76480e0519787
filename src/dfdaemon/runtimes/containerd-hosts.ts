import type { TomlTable } from 'smol-toml'
import { type DaemonAddress, isSameDaemon } from './daemon-address.ts'
import type { RegistryName } from './registry-name.ts'
import { unreadable } from './runtime-setup.ts'
import {
  aboveHeader,
  checkEdited,
  endedLine,
  endOfTable,
  isWithin,
  joinLines,
  parseToml,
  quoted,
  tomlLines,
} from './toml-text.ts'

/** One `hosts.toml`: the hosts to ask for a registry, in order, and at last the registry itself. */

const CAPABILITIES = ['pull', 'resolve']

type HostsFile = {
  readonly path: string
  /** Null where there is none yet. */
  readonly text: string | null
  readonly registry: RegistryName
  readonly daemon: DaemonAddress
  /** Paths of what lies in the directory for the registry itself. */
  readonly certificates: {
    readonly authorities: readonly string[]
    readonly pairs: readonly (readonly [string, string])[]
  }
}

/** Ours comes first; what is there stays behind it. @throws DragonflyError CONFIG_INVALID */
export function withHost({ path, text, registry, daemon, certificates }: HostsFile): string {
  const table = `[host.${quoted(daemon.url)}]\n  capabilities = [${CAPABILITIES.map(quoted).join(', ')}]\n`
  if (text === null) {
    const { authorities, pairs } = certificates
    return [
      '# dfdaemon setup containerd; taken back by: dfdaemon setup containerd --undo\n',
      registry.server === null ? '' : `server = ${quoted(registry.server)}\n`,
      authorities.length === 0 ? '' : `ca = [${authorities.map(quoted).join(', ')}]\n`,
      pairs.length === 0
        ? ''
        : `client = [${pairs.map(pair => `[${pair.map(quoted).join(', ')}]`).join(', ')}]\n`,
      `\n${table}`,
    ].join('')
  }
  const parsed = parseToml(path, text)
  const hosts = hostsOf(path, parsed)
  if (Object.keys(hosts).some(url => isSameDaemon(url, daemon))) return text
  const lines = tomlLines(text)
  const first = lines.findIndex(({ header }) => isWithin(header, ['host']))
  const meant = { ...parsed, host: { ...hosts, [daemon.url]: { capabilities: CAPABILITIES } } }
  if (first < 0) return checkEdited(path, `${endedLine(text)}\n${table}`, meant)
  const at = aboveHeader(lines, first)
  return checkEdited(path, joinLines([...lines.slice(0, at), `${table}\n`, ...lines.slice(at)]), meant)
}

/** Null where only what names the registry itself would be left, which containerd refuses. @throws DragonflyError CONFIG_INVALID */
export function withoutHost(path: string, text: string, daemon: DaemonAddress): string | null {
  const parsed = parseToml(path, text)
  const hosts = hostsOf(path, parsed)
  const ours = Object.keys(hosts).filter(url => isSameDaemon(url, daemon))
  if (ours.length === 0) return text
  const kept = Object.entries(hosts).filter(([url]) => !ours.includes(url))
  if (kept.length === 0) return null
  let lines = tomlLines(text)
  const isOurs = (header: readonly string[] | null) => ours.some(url => isWithin(header, ['host', url]))
  for (
    let i = lines.findIndex(line => isOurs(line.header));
    i >= 0;
    i = lines.findIndex(line => isOurs(line.header))
  ) {
    const end = endOfTable(lines, i)
    const hasBlank = lines[end]?.text.trim() === ''
    lines = lines.toSpliced(i, end - i + (hasBlank ? 1 : 0))
  }
  return checkEdited(path, joinLines(lines), { ...parsed, host: Object.fromEntries(kept) })
}

function hostsOf(path: string, parsed: TomlTable): TomlTable {
  const hosts = parsed.host ?? {}
  if (typeof hosts === 'object' && !Array.isArray(hosts)) return hosts as TomlTable
  throw unreadable(path, 'has a "host" that is no table')
}
