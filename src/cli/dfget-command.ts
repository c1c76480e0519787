import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { DragonflyError } from '../core/error.ts'
import { formatHostPort, type HostPort } from '../core/host-port.ts'
import { orderNodes } from '../core/weighted-node.ts'
import { systemRandom } from '../ops/system-random.ts'
import { type Home, openHome } from '../peer/home.ts'
import type { DownloadRequest } from '../wire/local.ts'
import { viewOf } from './command-view.ts'
import { openCredentials } from './credentials.ts'
import type { DownloadCommand, ShownLog } from './dfget-download.ts'
import { peerArguments } from './dfget-flags.ts'
import type { EffectiveSettings } from './dfget-layers.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { checkUrl, nameFrom, STDOUT, targetPath } from './download-target.ts'
import type { PeerStart } from './peer-process.ts'
import { persist } from './persistence.ts'
import { silentView } from './progress.ts'

/** What all downloads of a command line have in common. */
export type Plan = {
  readonly settings: DfgetSettings
  readonly home: Home
  /** In the order in which to try them. */
  readonly nodes: readonly HostPort[]
  /** Managing nodes to ask, where nobody named supernodes; null where none is wanted. */
  readonly managers: readonly string[] | null
  readonly shownLog: ShownLog | null
  readonly peerStart: PeerStart
  /** A download without view of its own, for one URL and an absolute output. */
  commandFor(url: string, output: string): DownloadCommand
}

/**
 * What a download needs, from the settings in force.
 * @throws DragonflyError USAGE, CONFIG_INVALID, OUTPUT_INVALID, HOME_UNUSABLE, and as `persist` where the origin is asked for a name
 */
export async function compileCommand(
  effective: EffectiveSettings,
  signal: AbortSignal,
): Promise<DownloadCommand> {
  const { settings } = effective
  if (!settings.url) throw new DragonflyError('USAGE', 'there is no URL; give one with -u')
  const url = checkUrl(settings.url)
  const given = outputOf(settings)
  const isAsked = given === null && (settings.contentDisposition || nameFrom(url) === null)
  if (!isAsked) targetPath(url, given)
  const plan = await compilePlan(effective, signal)
  const asked = isAsked ? await askedOutput(plan, url, signal) : null
  const output = asked ?? targetPath(url, given)
  const view = viewOf(settings, { ...plan, url, output })
  return { ...plan.commandFor(url, output), view, mayReplace: asked === null }
}

async function askedOutput({ settings, commandFor }: Plan, url: string, signal: AbortSignal) {
  // This host must not go to the origin, not even for a name.
  if (settings.notbs) return null
  const { outputFromOrigin } = await import('./origin-name.ts')
  const { request } = commandFor(url, STDOUT)
  return persist({ tries: settings.tries, signal }, () => outputFromOrigin(request, signal))
}

/**
 * @param program the file of dfget
 * @throws DragonflyError USAGE, CONFIG_INVALID, HOME_UNUSABLE
 */
export async function compilePlan(
  { settings, sources }: EffectiveSettings,
  signal: AbortSignal,
  program: string = process.argv[1],
): Promise<Plan> {
  const supernodes = supernodesOf({ settings, sources })
  const shared = await sharedRequest(settings, supernodes)
  const credentials = await openCredentials(settings)
  const home = await openHome(settings.workHome)
  if (sources.clientQueueSize !== 'default' && !settings.quiet) {
    process.stderr.write('dfget: warning: --clientqueue has no effect; no piece waits to be written\n')
  }
  if (sources.managers === 'flag' && supernodes.managers === null && !settings.quiet) {
    process.stderr.write(`dfget: warning: --manager is not asked: ${whyUnasked(settings)}\n`)
  }
  const { json, quiet, tries } = settings
  const shownLog = (isReserved: boolean): ShownLog | null => {
    if (!settings.console) return null
    return { file: settings.logPath ?? home.logFile, target: isReserved ? process.stderr : process.stdout }
  }
  const peerStart = { program, flags: peerArguments(settings, sources) }
  return {
    settings,
    home,
    ...supernodes,
    shownLog: shownLog(json || quiet),
    peerStart,
    commandFor: (url, output) => ({
      request: {
        ...shared,
        url,
        headers: [
          ...settings.headers.map(([name, value]): [string, string] => [name, value]),
          ...credentials(url),
        ],
        name: nameFor(url, output),
        ...(output === STDOUT ? { lookAhead: LOOK_AHEAD } : {}),
      },
      output,
      mayReplace: true,
      isContinued: settings.continue,
      home,
      peerStart,
      view: silentView,
      shownLog: shownLog(json || quiet || output === STDOUT),
      tries,
      signal,
    }),
  }
}

type Supernodes = Pick<Plan, 'nodes' | 'managers'>

/**
 * Supernodes that somebody named are the only ones. Otherwise the resident peer finds them, and the usual one is for want of any.
 * @throws DragonflyError USAGE
 */
function supernodesOf({ settings, sources }: EffectiveSettings): Supernodes {
  const { pattern, notbs, nodes, managers } = settings
  if (pattern === 'source' && notbs) {
    throw new DragonflyError('USAGE', '--pattern source reads the origin, and --notbs forbids it')
  }
  if (pattern === 'source') return { nodes: [], managers: null }
  if (sources.nodes === 'default' && managers.length > 0) return { nodes: [], managers }
  const ordered = orderNodes(nodes, systemRandom)
  if (ordered.length > 0) return { nodes: ordered, managers: sources.nodes === 'default' ? [] : null }
  throw new DragonflyError('USAGE', 'all supernodes have weight 0; --pattern source does without any')
}

function whyUnasked({ pattern }: DfgetSettings): string {
  return pattern === 'source' ? '--pattern source needs no supernode' : 'supernodes are named'
}

/** What the resident peer is asked for, whatever the URL. @throws DragonflyError USAGE */
async function sharedRequest(
  settings: DfgetSettings,
  { nodes, managers }: Supernodes,
): Promise<Omit<DownloadRequest, 'url' | 'name' | 'headers'>> {
  return {
    tag: settings.identifier,
    ...promisesOf(settings),
    filter: [...settings.filter],
    authorities: await readAuthorities(settings.cacerts),
    isInsecure: settings.insecure,
    callSystem: settings.callSystem || (settings.dfdaemon ? 'dfdaemon' : ''),
    wantsDigest: settings.json,
    pattern: settings.pattern === 'cdn' ? 'cdn' : 'p2p',
    mayReadOrigin: !settings.notbs,
    localLimit: settings.localLimit,
    minRate: settings.minRate,
    proxies: {
      http: settings.httpProxy?.href ?? null,
      https: settings.httpsProxy?.href ?? null,
      except: [...settings.proxyExcept],
    },
    nodes: nodes.map(formatHostPort),
    ...(managers === null ? {} : { managers: [...managers] }),
  }
}

/** Pieces that are wanted in order while the content is read. */
const LOOK_AHEAD = 8

/** The peer names its copy so. */
function nameFor(url: string, output: string): string {
  return output === STDOUT ? (nameFrom(url) ?? 'stdout') : path.basename(output)
}

function outputOf({ output, outputDocument }: DfgetSettings): string | null {
  if (output !== null && outputDocument !== null) {
    throw new DragonflyError('USAGE', '-o and -O say the same; give one of them')
  }
  return output ?? outputDocument
}

/** `--md5` and `--digest` together; all that is promised is verified. */
function promisesOf(settings: DfgetSettings): { digest: string | null; md5: string | null } {
  const sha256 = new Set<string>()
  const md5 = new Set<string>(settings.md5 === null ? [] : [settings.md5])
  for (const promised of settings.digest) {
    if (promised.kind === 'md5') md5.add(promised.hex)
    else sha256.add(promised.digest)
  }
  if (sha256.size > 1 || md5.size > 1) {
    throw new DragonflyError('USAGE', 'the digests contradict each other')
  }
  return { digest: [...sha256][0] ?? null, md5: [...md5][0] ?? null }
}

async function readAuthorities(files: readonly string[]): Promise<string | null> {
  if (files.length === 0) return null
  const { authorityFields } = await import('../origin/trust.ts')
  const texts = await Promise.all(
    files.map(async file => {
      try {
        const text = await readFile(file, 'utf8')
        authorityFields(text)
        return text
      } catch (cause) {
        throw new DragonflyError('USAGE', `--cacerts: ${file}: ${(cause as Error).message}`, { cause })
      }
    }),
  )
  return texts.join('\n')
}
