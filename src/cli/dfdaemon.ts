import path from 'node:path'
import { Command, Option } from 'commander'
import { VERSION } from '../ops/version.ts'
import { genCaCommand } from './dfdaemon-gen-ca.ts'
import { type DfdaemonSettings, defaultSettings, gatherSettings } from './dfdaemon-settings.ts'
import { setupCommand } from './dfdaemon-setup.ts'
import { writtenSettings } from './dfdaemon-shown.ts'
import { askedRegistry, parseRegistryUrl } from './dfdaemon-values.ts'
import { plainSwitches } from './dfget-flags.ts'
import { flagValue, runCommand } from './flags.ts'
import { reportError } from './report-error.ts'
import { addSelfCommands } from './self-commands.ts'
import { stopSignal } from './stop-signal.ts'

/** dfdaemon: container images, and any large download through a proxy, by way of the swarm. */

/** What commander makes of the flags. Values are checked with those of the file and the environment. */
type Flags = Omit<DfdaemonSettings, 'registry_mirror' | 'supernodes' | 'managers'> & {
  readonly config?: string
  readonly registry?: string
  readonly node?: string[]
  readonly manager?: string[]
}

const each = (text: string, before: string[] = []) => [...before, ...text.split(',')]
const SWITCHES: ReadonlySet<string> = new Set(['verbose', 'staragent', 'streamMode'])
const without = 'taken for the sake of dfdaemon 1.x, without effect'

const command = new Command('dfdaemon')
  .description('A mirror of registries and a proxy on this host, whose downloads go through the swarm.')
  .option('--config <file>', 'YAML file (default: /etc/dragonfly/dfdaemon.yml if there is one)')
  .option('--port <port>', 'mirror and proxy (default: 65001)')
  .option('--hostIp <address>', 'listen on this address (default: 127.0.0.1)')
  .option('--registry <url>', 'for requests that name no registry', flagValue(parseRegistryUrl))
  .option('--certpem <file>', 'certificate of this server; with --keypem it speaks TLS')
  .option('--keypem <file>', 'its private key')
  .option('--node <nodes>', 'supernodes host[:port][=weight], comma separated or repeated', each)
  .option('--manager <urls>', 'managing nodes that know the supernodes', each)
  .option('--ratelimit <rate>', 'limit per second, e.g. 20MB; 0 is none (default: 0)')
  .option('--workHome <directory>', 'of the resident peer and the log (default: ~/.small-dragonfly)')
  .option('--dfpath <file>', 'a program to call for each download, instead of the resident peer')
  .option('--staragent', 'call the dfget of a staragent, if there is one')
  .option('--localrepo <directory>', 'for what such a program brings (default: dfdaemon/data in the home)')
  .option('--verbose', 'log details')
  .option('--maxprocs <count>', without)
  .option('--peerPort <port>', without)
  .option('--streamMode', without)
  .version(VERSION, '-v, --version')
  // What follows a sub-command is for that, also where it has flags of the same name.
  .enablePositionalOptions()
  .action(run)
// Overrules a file or the environment that says yes.
for (const name of SWITCHES) command.addOption(new Option(`--no-${name}`).hideHelp())
command.addCommand(genCaCommand())
command.addCommand(setupCommand())
addSelfCommands(command)
const config = command.command('config').description('show settings as a configuration file')
config
  .command('default')
  .description('those that hold where nothing else is said')
  .action(() => {
    process.stdout.write(writtenSettings(defaultSettings()))
  })
config
  .command('show')
  .description('those in force, secrets redacted; flags go before "config"')
  .action(async () => {
    process.stdout.write(writtenSettings(await settingsInForce()))
  })

async function settingsInForce(): Promise<DfdaemonSettings> {
  const { config = null, registry, node, manager, ...flags } = command.opts<Flags>()
  const settings = {
    ...flags,
    ...(registry === undefined ? {} : { registry_mirror: { remote: registry } }),
    ...(node === undefined ? {} : { supernodes: node }),
    ...(manager === undefined ? {} : { managers: manager }),
  }
  return gatherSettings(settings, { environment: process.env, named: config })
}

async function run(): Promise<void> {
  const settings = await settingsInForce()
  // Other commands need nothing of the server.
  const { startDfdaemon } = await import('./dfdaemon-service.ts')
  // Before anybody is told that we run: from then on a signal means an orderly end.
  const stopped = stopSignal()
  const { url, stop } = await startDfdaemon(settings, {
    environment: process.env,
    args: process.argv.slice(2),
    dfget: path.join(import.meta.dirname, `dfget${path.extname(import.meta.filename)}`),
  })
  const remote = settings.registry_mirror!.remote!
  const asked = askedRegistry(remote)
  process.stdout.write(
    `dfdaemon ${VERSION}: mirror and proxy on ${url}, registry ${remote}${asked === remote ? '' : ` at ${asked}`}\n`,
  )
  await stopped
  await stop()
}

try {
  process.exitCode = await runCommand(command, plainSwitches(process.argv, SWITCHES))
} catch (thrown) {
  process.exitCode = reportError('dfdaemon', thrown)
}
