import { Command } from 'commander'
import { DragonflyError } from '../core/error.ts'
import { containerdSetup } from '../dfdaemon/runtimes/containerd.ts'
import { crioSetup, podmanSetup } from '../dfdaemon/runtimes/containers-conf.ts'
import { type DaemonAddress, parseDaemonAddress } from '../dfdaemon/runtimes/daemon-address.ts'
import { dockerSetup } from '../dfdaemon/runtimes/docker.ts'
import { DOCKER_HUB, parseRegistryName, type RegistryName } from '../dfdaemon/runtimes/registry-name.ts'
import type { RuntimeSetup, SetupRequest } from '../dfdaemon/runtimes/runtime-setup.ts'
import { parseRuntimeVersion, type RuntimeVersion } from '../dfdaemon/runtimes/runtime-version.ts'
import { SetupFiles } from './dfdaemon-setup-files.ts'
import { findProgram } from './dfdaemon-setup-program.ts'
import {
  filesWithoutUs,
  isForRequest,
  putInPlace,
  readRecord,
  stepsBack,
  takeBack,
} from './dfdaemon-setup-record.ts'
import { viewOfPlace, viewOfPlan, viewOfUndo } from './dfdaemon-setup-view.ts'
import { flagValue } from './flags.ts'

/** `dfdaemon setup`: tells a container runtime of dfdaemon. It restarts nothing. */

type Flags = {
  readonly write?: boolean
  readonly undo?: boolean
  readonly registry?: readonly RegistryName[]
  readonly daemon?: DaemonAddress
  readonly proxy?: boolean
  readonly runtimeVersion?: RuntimeVersion
  readonly root: string
}

const RUNTIMES: readonly RuntimeSetup[] = [dockerSetup, containerdSetup, crioSetup, podmanSetup]
const USUAL_DAEMON = 'http://127.0.0.1:65001'

type Print = (text: string) => void

export function setupCommand(print: Print = text => process.stdout.write(text)): Command {
  const command = new Command('setup').description('tells a container runtime of dfdaemon')
  for (const runtime of RUNTIMES) command.addCommand(commandOf(runtime, print))
  return command
}

function commandOf(runtime: RuntimeSetup, print: Print): Command {
  const command = new Command(runtime.name)
    .description(`prints what makes ${runtime.name} pull through dfdaemon`)
    .option('--write', 'put it in place, with a backup of what was there')
    .option('--undo', 'take back what --write did')
    .option(
      '--registry <name>',
      `registry to pull through dfdaemon, repeatable; ${DOCKER_HUB} unless set`,
      addRegistry,
    )
    .option(
      '--daemon <url>',
      `where dfdaemon listens; ${USUAL_DAEMON} unless set`,
      flagValue(parseDaemonAddress),
    )
    .option('--runtime-version <version>', 'instead of asking the program', flagValue(parseRuntimeVersion))
    .option('--root <directory>', 'below which the files are, for an image that is being built', '/')
  if (runtime === dockerSetup) command.option('--proxy', 'ask all registries through dfdaemon as a proxy')
  return command.action(async (flags: Flags) => print(`${(await setUp(runtime, flags)).join('\n')}\n`))
}

function addRegistry(text: string, known: readonly RegistryName[] = []): readonly RegistryName[] {
  const registry = flagValue(parseRegistryName)(text)
  return [...known.filter(({ name }) => name !== registry.name), registry]
}

async function setUp(runtime: RuntimeSetup, flags: Flags): Promise<readonly string[]> {
  if (flags.write && flags.undo) throw new DragonflyError('USAGE', '--write and --undo are opposites')
  const files = new SetupFiles(flags.root)
  return flags.undo ? undo(runtime, files) : planOrWrite(runtime, flags, files)
}

function undo(runtime: RuntimeSetup, files: SetupFiles): readonly string[] {
  const record = readRecord(files, runtime.name)
  if (record === null) return [`Nothing to take back: ${runtime.name} was not set up by this command.`]
  const steps = stepsBack(files, runtime, record)
  takeBack(files, runtime, record, steps)
  const changed = steps.filter(({ how }) => !['left', 'gone'].includes(how)).map(({ path }) => path)
  return viewOfUndo(steps, runtime.commandFor(changed))
}

async function planOrWrite(
  runtime: RuntimeSetup,
  flags: Flags,
  files: SetupFiles,
): Promise<readonly string[]> {
  const { version, says } = await versionOf(runtime, flags, files)
  const request: SetupRequest = {
    daemon: flags.daemon ?? parseDaemonAddress(USUAL_DAEMON),
    registries: flags.registry ?? [parseRegistryName(DOCKER_HUB)],
    version,
    usesProxy: flags.proxy ?? false,
  }
  const record = readRecord(files, runtime.name)
  const steps = record === null ? [] : stepsBack(files, runtime, record)
  const isSame = record === null || isForRequest(record, request)
  const inPlace = isSame ? runtime.plan(request, files) : null
  if (inPlace?.files.size === 0) return [says, '', 'Everything is in place already; nothing was changed.']
  const without = filesWithoutUs(files, steps)
  const plan = runtime.plan(request, without)
  const command = runtime.commandFor([...new Set([...plan.files.keys(), ...steps.map(({ path }) => path)])])
  if (!flags.write) return viewOfPlan({ says, plan, present: without, runtime: runtime.name, command })
  const { paths, backups } = putInPlace({
    files,
    runtime,
    request,
    texts: plan.files,
    former: record && { record, steps },
  })
  return viewOfPlace({ says, notes: plan.notes, paths, backups, command })
}

/** The programs of this machine are not those of an image. */
async function versionOf(
  { name, program }: RuntimeSetup,
  { runtimeVersion }: Flags,
  { root }: SetupFiles,
): Promise<{ version: RuntimeVersion | null; says: string }> {
  if (runtimeVersion) return { version: runtimeVersion, says: `${name} ${shown(runtimeVersion)}, as told` }
  const newest = 'this is for the newest form, --runtime-version chooses another'
  if (root !== '/') return { version: null, says: `${name}, no program is run below ${root}: ${newest}` }
  const found = await findProgram(program, process.env)
  if (found === null) return { version: null, says: `${name} is not installed: ${newest}` }
  const { path, version } = found
  if (version === null) return { version, says: `${path} does not say its version: ${newest}` }
  return { version, says: `${name} ${shown(version)}, ${path}` }
}

function shown({ major, minor }: RuntimeVersion): string {
  return `${major}.${minor}`
}
