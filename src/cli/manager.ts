import { Command, Option } from 'commander'
import { formatHostPort } from '../core/host-port.ts'
import { describeDatabase } from '../manager/database.ts'
import { Manager } from '../manager/manager.ts'
import { VERSION } from '../ops/version.ts'
import { parseAddress, parseLabel, parseManager, parsePort } from './dfget-values.ts'
import { flagValue, runCommand } from './flags.ts'
import { hidePassword } from './hide-password.ts'
import {
  compileManagerOptions,
  gatherManagerSettings,
  type ManagerSettings,
  parseDatabase,
  parseLease,
} from './manager-options.ts'
import { tokenCommand } from './manager-token.ts'
import { reportError } from './report-error.ts'
import { stopSignal } from './stop-signal.ts'

/** manager: the managing node, which knows where hosts are and who serves whom. */

const boundary = new Option('--zone-boundary <boundary>', 'what a zone is (default: idc)')

const command = new Command('manager')
  .description('Knows where hosts are, assigns supernodes to clients, and keeps the list of supernodes.')
  .option('--port <port>', 'API (default: 8080)', flagValue(parsePort))
  .option('--listen-ip <address>', 'listen on this address only', flagValue(parseAddress))
  .option('--home-dir <directory>', 'where database and log are (default: ~/.dragonfly/manager)')
  .option(
    '--database <url>',
    'postgres://… instead of a file in the home directory; DRAGONFLY_DATABASE says it without ps seeing it',
    flagValue(parseDatabase),
  )
  .option('--armory <source>', 'where hosts are: a .csv or .yml file, http(s)://…{address}…, or database')
  .addOption(boundary.choices(['idc', 'security-domain']))
  .option('--root-zone <zone>', 'the zone that the others fill from', flagValue(parseLabel))
  .option('--open-wall', 'lets clients use supernodes of other security domains, last of all')
  .option('--lease <duration>', 'how long a silent supernode counts (default: 15s)', flagValue(parseLease))
  .option('--advertise <url>', 'http://host:port under which others find it', flagValue(parseManager))
  .option('--config <file>', 'YAML file with the same settings, in camelCase')
  .version(VERSION, '-v, --version')
  // What follows `token` is for that, also where it has flags of the same name.
  .enablePositionalOptions()
  .action(run)
command.addCommand(tokenCommand())

async function run(flags: ManagerSettings & { config?: string }): Promise<void> {
  hidePassword(flags.database)
  const options = compileManagerOptions(await gatherManagerSettings(flags, process.env))
  // Before anybody is told that we run: from then on a signal means an orderly end.
  const stopped = stopSignal()
  const manager = await Manager.start(options)
  const address = formatHostPort({ host: options.listenIp ?? '0.0.0.0', port: manager.port })
  process.stdout.write(
    `manager ${VERSION}: API on ${address}, known as ${manager.url}, database ${describeDatabase(options.database)}\n`,
  )
  await stopped
  await manager.stop()
}

try {
  process.exitCode = await runCommand(command, process.argv)
} catch (thrown) {
  process.exitCode = reportError('manager', thrown)
}
