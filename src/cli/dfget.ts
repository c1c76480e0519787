import { Command } from 'commander'
import { toDragonflyError } from '../core/error.ts'
import { oneLine } from '../core/text.ts'
import { VERSION } from '../ops/version.ts'
import { compileCommand } from './dfget-command.ts'
import { readConfigFile } from './dfget-config-file.ts'
import { downloadFile, failureFacts, resultFacts } from './dfget-download.ts'
import { addSettingFlags, flagsOf, peerFlags, plainSwitches } from './dfget-flags.ts'
import { compileSettings, type EffectiveSettings } from './dfget-layers.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { STDOUT } from './download-target.ts'
import { runCommand } from './flags.ts'
import { interrupted, withinTime } from './persistence.ts'
import { silentView } from './progress.ts'
import { reportError } from './report-error.ts'
import { addSelfCommands } from './self-commands.ts'

/** dfget: a wget-like command whose bytes come from the swarm. */

const command = new Command('dfget')
  .description(
    'Downloads a file through the swarm: the origin is read once, the pieces come from other hosts.',
  )
  .version(VERSION, '-v, --version', 'print the version')
  .action(main)
addSettingFlags(command)
command
  .command('server')
  .description('run the resident peer in the foreground')
  .option('--status', 'say what the running peer is at, and do nothing else')
  .option('--stop', 'end the running peer, and do nothing else')
  .addHelpText('after', `\nThe flags of dfget that say how the peer runs: ${peerFlags().join(', ')}.`)
  .action(async ({ status, stop }: { status?: true; stop?: true }) => {
    const { settings } = await effectiveSettings()
    if (status || stop) {
      const { describePeer, stopPeer } = await import('./dfget-server-control.ts')
      process.stdout.write(await (stop ? stopPeer : describePeer)(settings))
      return
    }
    const { servePeer } = await import('./dfget-server.ts')
    await servePeer(settings)
  })
command
  .command('limit')
  .description('show the limits of the running peer, or change them; 0 is none')
  .option('--total <rate>', 'for all that it sends, and for all that it receives')
  .option('--local <rate>', 'for each download, running or to come')
  .action(async (change: { total?: string; local?: string }) => {
    const { limitPeer } = await import('./dfget-limit.ts')
    process.stdout.write(await limitPeer((await effectiveSettings()).settings, change))
  })
command
  .command('explain')
  .description('say where the time of a download went, from the records of this account')
  .argument('[task]', 'a task id, its beginning, or "last"; without it the newest downloads are listed')
  .action(async (task?: string) => {
    const { settings } = await effectiveSettings()
    const { explain } = await import('./dfget-explain.ts')
    process.stdout.write(await explain(task ?? null, { homeRoot: settings.workHome, isJson: settings.json }))
  })
addSelfCommands(command)

async function main(): Promise<void> {
  if (command.getOptionValue('printConfig') !== true) return download()
  const { printConfig } = await import('./print-config.ts')
  process.stdout.write(printConfig(await effectiveSettings()))
}

async function effectiveSettings(): Promise<EffectiveSettings> {
  const flags = flagsOf(command)
  const named = flags.config?.at(-1) ?? process.env.DFGET_CONFIG ?? null
  return compileSettings({ flags, environment: process.env, file: await readConfigFile(named) })
}

async function download(): Promise<void> {
  const controller = new AbortController()
  const onStop = () => controller.abort(interrupted())
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onStop)
  let isJson = command.getOptionValue('json') === true
  let view = silentView
  const sayFacts = (facts: object) => {
    ;(isStreamed() ? process.stderr : process.stdout).write(`${JSON.stringify(facts)}\n`)
  }
  try {
    const effective = await effectiveSettings()
    const { settings } = effective
    isJson = settings.json
    if (settings.inputFile !== null) {
      const { downloadList } = await import('./dfget-list.ts')
      const { signal } = controller
      const list = () => downloadList(effective, signal)
      process.exitCode = await withPeer(settings, { signal, onStop }, list)
      return
    }
    await withinTime(settings.timeout, controller.signal, async signal => {
      const one = await compileCommand(effective, signal)
      view = one.view
      const outcome = await withPeer(settings, { signal, onStop }, () => downloadFile(one))
      view.finish(outcome, one.output)
      if (isJson) sayFacts(resultFacts(one, outcome))
      else if (outcome.isKept && !settings.quiet) {
        process.stdout.write(`${oneLine(one.output)} was complete already, and is as it was\n`)
      }
    })
  } catch (thrown) {
    const error = toDragonflyError(thrown)
    view.fail(error)
    if (isJson) sayFacts(failureFacts(error))
    process.exitCode = isJson ? error.exitStatus : reportError('dfget', error)
    // What a reader who has stopped has not taken would keep us.
    if (isStreamed()) process.exit()
  }
}

/** Where the content goes to standard output, nothing else does. Only flags say so. */
function isStreamed(): boolean {
  const { output, outputDocument } = flagsOf(command)
  return [output, outputDocument].some(given => given?.at(-1) === STDOUT)
}

async function withPeer<T>(
  settings: DfgetSettings,
  how: { readonly signal: AbortSignal; onStop(): void },
  action: () => Promise<T>,
): Promise<T> {
  if (!settings.standalone) return action()
  const { withOwnPeer } = await import('./standalone.ts')
  return withOwnPeer(settings, how, action)
}

try {
  process.exitCode = await runCommand(command, plainSwitches(process.argv))
} catch (thrown) {
  process.exitCode = reportError('dfget', thrown)
}
