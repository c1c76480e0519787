import { Command } from 'commander'
import { formatHostPort } from '../core/host-port.ts'
import { parseRate } from '../core/rate.ts'
import { VERSION } from '../ops/version.ts'
import { Supernode } from '../supernode/supernode.ts'
import { parseLabel, parsePort } from './dfget-values.ts'
import { flagValue, runCommand } from './flags.ts'
import { reportError } from './report-error.ts'
import { stopSignal } from './stop-signal.ts'
import { JOIN_TOKEN_VARIABLE, parseManagers, parseParents, readClusterOptions } from './supernode-cluster.ts'
import { compileSupernodeOptions, readSettings, type SupernodeSettings } from './supernode-options.ts'

/** supernode: tracker, scheduler and CDN cache. */

const command = new Command('supernode')
  .description(
    'Tracks who holds which piece, schedules who fetches what from whom, and reads the origin once.',
  )
  .option('--port <port>', 'control channel and API (default: 8002)', flagValue(parsePort))
  .option('--download-port <port>', 'pieces (default: 8001)', flagValue(parsePort))
  .option('--home-dir <directory>', 'where the cache is')
  .option('--listen-ip <address>', 'listen on this address only')
  .option('--advertise-ip <address>', 'address that peers are told for pieces')
  .option('--upload-limit <rate>', 'limit per second for sending pieces, e.g. 200M', flagValue(parseRate))
  .option('--record <file>', 'append what the scheduler sees and decides, for dragonfly sim --replay')
  .option(
    '--manager <urls>',
    'managing nodes of the cluster, with commas in between',
    flagValue(parseManagers),
  )
  .option('--join-file <file>', 'holds the token to join the cluster with, needed on the first start only')
  .option(
    '--join <token>',
    `the token itself, which ps may show for a moment; ${JOIN_TOKEN_VARIABLE} is never shown`,
  )
  .option('--cluster-secret-file <file>', '64 hex digits that all supernodes share, without a managing node')
  .option(
    '--parent <addresses>',
    'supernodes to fill from instead of from the origin, with commas in between',
    flagValue(parseParents),
  )
  .option('--zone <name>', 'where this supernode is, without a managing node', flagValue(parseLabel))
  .option('--config <file>', 'YAML file with the same settings, in camelCase')
  .version(VERSION, '-v, --version')
  .action(async ({ config, ...flags }: SupernodeSettings & { config?: string }) => {
    // On Linux and macOS the title overwrites the arguments, which ps shows to all users.
    if (flags.join !== undefined) process.title = 'supernode'
    const settings = { ...(config === undefined ? {} : await readSettings(config)), ...flags }
    const options = {
      ...compileSupernodeOptions(settings),
      ...(await readClusterOptions(settings, process.env)),
    }
    // Before anybody is told that we run: from then on a signal means an orderly end.
    const stopped = stopSignal()
    const supernode = await Supernode.start(options)
    const host = options.listenIp ?? '0.0.0.0'
    const control = formatHostPort({ host, port: supernode.port })
    const pieces = formatHostPort({ host, port: supernode.downloadPort })
    process.stdout.write(
      `supernode ${VERSION}: control on ${control}, pieces on ${pieces}, cache in ${options.homeDir}\n`,
    )
    await stopped
    await supernode.stop()
  })

try {
  process.exitCode = await runCommand(command, process.argv)
} catch (thrown) {
  process.exitCode = reportError('supernode', thrown)
}
