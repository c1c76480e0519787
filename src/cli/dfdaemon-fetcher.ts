import { Command, CommanderError } from 'commander'
import { DragonflyError } from '../core/error.ts'
import { formatRateLimit, parseRateLimit } from '../core/rate.ts'
import type { ContentFetcher } from '../dfdaemon/options.ts'
import type { Log } from '../ops/log.ts'
import type { DfdaemonSettings } from './dfdaemon-settings.ts'
import { compilePlan } from './dfget-command.ts'
import { readConfigFile } from './dfget-config-file.ts'
import { addSettingFlags, flagsOf, plainSwitches } from './dfget-flags.ts'
import { compileSettings, type EffectiveSettings } from './dfget-layers.ts'
import { ROWS, type SettingName } from './dfget-settings.ts'
import { STDOUT } from './download-target.ts'
import { withoutValues } from './flags.ts'
import { eventsOf } from './peer-answer.ts'
import { PeerAttendance } from './peer-attendance.ts'
import { askStartedPeer } from './peer-process.ts'

/**
 * Flags of dfget that are about what is no part of a download here: the command's own output and patience (a download that fails goes on
 * from the registry at once), and what the daemon's settings say of whom a registry trusts and where the home is.
 */
const WITHOUT_EFFECT: readonly SettingName[] = [
  'contentDisposition',
  'cacerts',
  'insecure',
  'clientQueueSize',
  'timeout',
  'tries',
  'netrc',
  'workHome',
  'standalone',
  'console',
  'showBar',
  'quiet',
  'json',
]

/**
 * Fetches through the account's resident peer, which is started where there is none, and attended from then on. The peer and each download
 * are told what dfget would tell them, were it called with the flags of dfdaemon's settings.
 * @param surroundings.dfget the file of the command, which the peer is started with
 * @throws DragonflyError CONFIG_INVALID, HOME_UNUSABLE
 */
export async function residentFetcher(
  settings: DfdaemonSettings,
  {
    environment,
    dfget,
    log,
  }: { readonly environment: NodeJS.ProcessEnv; readonly dfget: string; readonly log: Log },
): Promise<{ readonly fetcher: ContentFetcher; readonly attendance: PeerAttendance }> {
  const unused = namesOf(flagsOf(parsed(settings.dfget_flags ?? []))).filter(name =>
    WITHOUT_EFFECT.includes(name),
  )
  if (unused.length > 0) {
    const flags = unused.map(name => ROWS[name].flags)
    log.warn({ flags }, 'dfget_flags without effect')
  }
  const effective = await effectiveSettings(settings, environment)
  const plan = await compilePlan(effective, new AbortController().signal, dfget)
  const attendance = new PeerAttendance(plan.home, plan.peerStart, log)
  const fetcher: ContentFetcher = {
    async *fetch(order, signal) {
      const { request } = plan.commandFor(order.url, STDOUT)
      // What is in the account's .netrc is not the client's.
      const headers: [string, string][] = [...effective.settings.headers, ...order.headers].map(
        ([name, value]) => [name, value],
      )
      const ask = {
        method: 'POST',
        path: '/downloads',
        body: { ...request, ...order, headers, wantsDigest: false, waitsForDisk: false },
        signal,
      }
      const answer = await askStartedPeer(plan.home, plan.peerStart, ask)
      attendance.renew()
      try {
        const result = yield* eventsOf(answer)
        yield { event: 'complete', result }
      } catch (thrown) {
        throw signal.aborted ? signal.reason : thrown
      } finally {
        answer.destroy()
      }
    },
  }
  return { fetcher, attendance }
}

/** The flags of dfget that dfdaemon 1.x gives to each call, and those of our own. */
export function dfgetFlags(settings: DfdaemonSettings, nodes: readonly string[]): string[] {
  const { dfget_flags = [], verbose, ratelimit = '0', managers = [] } = settings
  const limit = parseRateLimit(ratelimit)
  const rate = formatRateLimit(limit)
  return [
    ...dfget_flags,
    '--dfdaemon',
    ...(verbose ? ['--verbose'] : []),
    ...(limit === null ? [] : ['-s', rate, '--totallimit', rate]),
    ...(nodes.length > 0 ? ['--node', nodes.join(',')] : []),
    ...(managers.length > 0 ? ['--manager', managers.join(',')] : []),
  ]
}

async function effectiveSettings(
  settings: DfdaemonSettings,
  environment: NodeJS.ProcessEnv,
): Promise<EffectiveSettings> {
  const words = [...dfgetFlags(settings, settings.supernodes ?? []), '--home', settings.workHome!]
  const flags = flagsOf(parsed(words))
  const perDownload = namesOf(flags).find(name => ROWS[name].isPerCommand && name !== 'config')
  if (perDownload !== undefined) {
    throw invalid(`${ROWS[perDownload].flags} belongs to one download`)
  }
  const named = flags.config?.at(-1) ?? environment.DFGET_CONFIG ?? null
  return compileSettings({ flags, environment, file: await readConfigFile(named) })
}

function namesOf(flags: ReturnType<typeof flagsOf>): SettingName[] {
  return Object.keys(flags) as SettingName[]
}

function parsed(words: readonly string[]): Command {
  const command = new Command('dfget').exitOverride().configureOutput({ writeOut() {}, writeErr() {} })
  addSettingFlags(command)
  try {
    return command.parse(plainSwitches(words), { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    throw invalid(withoutValues(thrown.message).trim())
  }
}

function invalid(what: string): DragonflyError {
  return new DragonflyError('CONFIG_INVALID', `dfget_flags: ${what}`)
}
