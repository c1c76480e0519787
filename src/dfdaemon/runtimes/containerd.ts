import { DragonflyError } from '../../core/error.ts'
import {
  type ContainerdConfig,
  configPathOf,
  containerdConfigs,
  hostsDirectoryOf,
  withConfigPath,
  withoutConfigPath,
} from './containerd-config.ts'
import { withHost, withoutHost } from './containerd-hosts.ts'
import { ANY_REGISTRY, type RegistryName } from './registry-name.ts'
import type { PresentFiles, RuntimeSetup, SetupPlan, SetupRequest } from './runtime-setup.ts'
import { isOlder } from './runtime-version.ts'

/** containerd reads `DIRECTORY/NAME/hosts.toml` at each pull (docs/hosts.md of containerd); `config_path` says which directory that is. */

export const containerdSetup: RuntimeSetup = {
  name: 'containerd',
  program: 'containerd',
  plan,
  without(file, daemon) {
    return file.path.endsWith('/hosts.toml')
      ? withoutHost(file.path, file.text, daemon)
      : withoutConfigPath(file)
  },
  commandFor(paths) {
    return paths.some(path => !path.endsWith('/hosts.toml')) ? 'systemctl restart containerd' : null
  },
}

function plan(request: SetupRequest, present: PresentFiles): SetupPlan {
  if (isOlder(request.version, 1, 5)) {
    throw new DragonflyError('USAGE', 'containerd knows hosts.toml from version 1.5 on; this one is older')
  }
  const files = new Map<string, string>()
  const notes: string[] = []
  const { configs, target } = containerdConfigs(present, request.version)
  const { directory, edited } = hostsDirectory(target, request)
  if (edited !== null) {
    files.set(target.path, edited)
    if (configPathOf(target))
      notes.push(
        `${target.path}: config_path named several directories, which containerd 2.2 takes for one; it now names ${directory} only.`,
      )
  }
  for (const registry of request.registries) {
    const path = `${directory}/${hostDirectory(registry.name, directory, present)}/hosts.toml`
    const text = present.read(path)
    const changed = withHost({
      path,
      text,
      registry,
      daemon: request.daemon,
      certificates: certificatesOf(path, present),
    })
    if (changed !== text) files.set(path, changed)
  }
  notes.push(...notesOn(configs, request.registries, directory))
  return { files, notes }
}

/** Version 2.2 takes a list of directories for the name of one. */
function hostsDirectory(
  target: ContainerdConfig,
  { version }: SetupRequest,
): { directory: string; edited: string | null } {
  const present = configPathOf(target)
  const directory = hostsDirectoryOf(present)
  const isWell = present === directory || (present !== null && isOlder(version, 2, 0))
  return { directory, edited: isWell ? null : withConfigPath(target, directory) }
}

/** containerd looks for `name_port_` before `name:port`. */
function hostDirectory(name: string, directory: string, present: PresentFiles): string {
  const withoutColon = name.replace(/:(\d+)$/, '_$1_')
  return present.read(`${directory}/${withoutColon}/hosts.toml`) === null ? name : withoutColon
}

/** Without a hosts.toml, containerd takes certificates in the directory for those of the registry; with one, only what it names. */
function certificatesOf(
  hosts: string,
  present: PresentFiles,
): { authorities: string[]; pairs: [string, string][] } {
  const directory = hosts.slice(0, hosts.lastIndexOf('/'))
  const keys = present.list(`${directory}/*.key`)
  const pairs = present.list(`${directory}/*.cert`).flatMap((path): [string, string][] => {
    const key = path.replace(/\.cert$/, '.key')
    return keys.includes(key) ? [[path, key]] : []
  })
  return { authorities: [...present.list(`${directory}/*.crt`)], pairs }
}

function notesOn(
  configs: readonly ContainerdConfig[],
  registries: readonly RegistryName[],
  directory: string,
): string[] {
  const notes = [`ctr reads these files only where it is told to: ctr images pull --hosts-dir ${directory} …`]
  if (registries.some(({ name }) => name === ANY_REGISTRY)) {
    notes.push('_default holds for every registry that has no directory of its own.')
  }
  const plain = registries.filter(({ server }) => server?.startsWith('http:'))
  if (plain.length > 0) {
    const entries = plain.map(({ name, server }) => `  - name: ${name}\n    remote: ${server}`).join('\n')
    notes.push(
      `dfdaemon asks registries with TLS unless it is told otherwise. In dfdaemon.yml:\n\nregistries:\n${entries}`,
    )
  }
  const disabled = configs.find(({ parsed }) =>
    [parsed.disabled_plugins ?? []]
      .flat()
      .some(id => ['cri', 'io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images'].includes(String(id))),
  )
  if (disabled) {
    notes.push(
      `${disabled.path} disables the CRI plug-in, so no kubelet pulls through this containerd; nerdctl and ctr --hosts-dir do.`,
    )
  }
  return notes
}
