import path from 'node:path'
import { Command } from 'commander'
import { VERSION } from '../ops/version.ts'
import { demo } from './demo.ts'
import { parsePort } from './dfget-values.ts'
import { flagValue, runCommand } from './flags.ts'
import { reportError } from './report-error.ts'
import { simCommand } from './sim.ts'
import { stopSignal } from './stop-signal.ts'
import { startWholeSystem, type WholeSystemOptions } from './whole-system.ts'

/** dragonfly: the whole system in one process, and the tools. */

/** The file of that command, which is beside this one. */
const DFGET = path.join(import.meta.dirname, `dfget${path.extname(import.meta.filename)}`)

const command = new Command('dragonfly')
  .description('The whole system on one machine, and its tools.')
  .version(VERSION, '-v, --version')
command
  .command('demo')
  .description('a supernode and eight peers distribute a file on this machine')
  .argument('[url]', 'what to distribute (default: 256 MiB of its own)')
  .action(runDemo)
command
  .command('start')
  .description('runs the whole system on this machine until Ctrl-C')
  .option('--home-dir <directory>', 'where everything is kept (default: ~/.dragonfly)')
  .option('--manager-port <port>', 'of the manager (default: 8080)', flagValue(parsePort))
  .option('--port <port>', "the supernode's control channel (default: 8002)", flagValue(parsePort))
  .option('--download-port <port>', "the supernode's pieces (default: 8001)", flagValue(parsePort))
  .option(
    '--dfdaemon-port <port>',
    'mirror and proxy for container runtimes (default: 65001)',
    flagValue(parsePort),
  )
  .action(start)
command.addCommand(simCommand())

async function runDemo(url: string | undefined): Promise<void> {
  const controller = new AbortController()
  void stopSignal().then(() => controller.abort())
  await demo({ url, dfget: DFGET }, controller.signal)
}

async function start(options: WholeSystemOptions): Promise<void> {
  // Before anybody is told that we run: from then on a signal means an orderly end.
  const stopped = stopSignal()
  const { manager, supernode, dfdaemonUrl, homeDir, armory, stop } = await startWholeSystem(options, DFGET)
  const daemon = dfdaemonUrl === 'http://127.0.0.1:65001' ? '' : ` --daemon ${dfdaemonUrl}`
  process.stdout.write(
    [
      `Dragonfly ${VERSION} is running on this machine.`,
      '',
      `  manager     API on port ${manager.port}; who is where: ${armory}`,
      `  supernode   control channel on port ${supernode.port}, pieces on port ${supernode.downloadPort}`,
      `  dfdaemon    mirror of registries and proxy on ${dfdaemonUrl}, for this machine`,
      `  everything  in ${homeDir}`,
      '',
      'In another terminal, here:',
      '  npx dfget -u URL -o FILE              downloads through the swarm',
      `  npx dfdaemon setup docker --write${daemon}`,
      '                                        makes Docker pull through it; or containerd, crio, podman',
      'On other hosts:',
      `  dfget --manager ${manager.url} -u URL -o FILE`,
      'To see eight peers at work:',
      '  npm run demo',
      '',
      'Ctrl-C stops it.',
      '',
    ].join('\n'),
  )
  await stopped
  await stop()
  process.stdout.write('\nDragonfly has stopped. The cache is kept.\n')
}

try {
  process.exitCode = await runCommand(command, process.argv)
} catch (thrown) {
  process.exitCode = reportError('dragonfly', thrown)
}
