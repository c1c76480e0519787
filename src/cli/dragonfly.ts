import path from 'node:path'
import { Command } from 'commander'
import { VERSION } from '../ops/version.ts'
import { Supernode } from '../supernode/supernode.ts'
import { demo } from './demo.ts'
import { runCommand } from './flags.ts'
import { reportError } from './report-error.ts'
import { simCommand } from './sim.ts'
import { stopSignal } from './stop-signal.ts'
import { compileSupernodeOptions } from './supernode-options.ts'

/** dragonfly: the whole system in one process, and the tools. */

const command = new Command('dragonfly')
  .description('The whole system on one machine, and its tools.')
  .version(VERSION, '-v, --version')
command
  .command('demo')
  .description('a supernode and eight peers distribute a file on this machine')
  .argument('[url]', 'what to distribute (default: 256 MiB of its own)')
  .action(runDemo)
command.command('start').description('runs the whole system on this machine until Ctrl-C').action(start)
command.addCommand(simCommand())

async function runDemo(url: string | undefined): Promise<void> {
  const controller = new AbortController()
  void stopSignal().then(() => controller.abort())
  const dfget = path.join(import.meta.dirname, `dfget${path.extname(import.meta.filename)}`)
  await demo({ url, dfget }, controller.signal)
}

async function start(): Promise<void> {
  const options = compileSupernodeOptions({})
  const stopped = stopSignal()
  const supernode = await Supernode.start(options)
  process.stdout.write(
    [
      `Dragonfly ${VERSION} is running on this machine.`,
      '',
      `  supernode   control channel on port ${supernode.port}, pieces on port ${supernode.downloadPort}`,
      `              cache in ${options.homeDir}`,
      '',
      'In another terminal, here:',
      '  npx dfget -u URL -o FILE              downloads through the swarm',
      'On other hosts:',
      `  dfget --node THIS-HOST:${supernode.port} -u URL -o FILE`,
      'To see eight peers at work:',
      '  npm run demo',
      '',
      'Ctrl-C stops it.',
      '',
    ].join('\n'),
  )
  await stopped
  await supernode.stop()
  process.stdout.write('\nDragonfly has stopped. The cache is kept.\n')
}

try {
  process.exitCode = await runCommand(command, process.argv)
} catch (thrown) {
  process.exitCode = reportError('dragonfly', thrown)
}
