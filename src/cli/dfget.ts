import path from 'node:path'
import { Command, Option } from 'commander'
import { parseDigest } from '../core/digest.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { parseHostPort } from '../core/host-port.ts'
import { parseRate } from '../core/rate.ts'
import { systemClock } from '../ops/system-clock.ts'
import { VERSION } from '../ops/version.ts'
import { openHome } from '../peer/home.ts'
import { DEFAULT_HOME, DEFAULT_NODE } from './defaults.ts'
import { type DownloadCommand, downloadFile, jsonFailure, jsonResult } from './dfget-download.ts'
import { collect, flagValue, portFlag, runCommand } from './flags.ts'
import { barView, plainView, silentView } from './progress.ts'
import { reportError } from './report-error.ts'

/** dfget: a wget-like command whose bytes come from the swarm. */

type Flags = {
  url?: string
  output?: string
  node: string[]
  home: string
  ip?: string
  port?: number
  totallimit?: number
  header: [string, string][]
  digest?: ReturnType<typeof parseDigest>
  showbar: boolean
  json: boolean
}

const command = new Command('dfget')
  .description(
    'Downloads a file through the swarm: the origin is read once, the pieces come from other hosts.',
  )
  .option('-u, --url <url>', 'what to download')
  .option('-o, --output <file>', 'where to put it (default: the last part of the URL, in this directory)')
  .option('-n, --node <addresses>', 'supernodes host[:port], comma separated or repeated', nodes, [])
  .option('--header <header>', "'Name: value' for the origin, repeatable", collect(parseHeader), [])
  .option('--digest <digest>', 'sha256:<hex> that the file must have', flagValue(parseDigest))
  .option('-b, --showbar', 'show the progress bar even where this is no terminal', false)
  .option('--json', 'end with one line of JSON', false)
  .version(VERSION, '-v, --version', 'print the version')
  .action((flags: Flags) => download(flags))
addPeerOptions(command)

const server = new Command('server')
  .description('runs the resident peer in the foreground')
  .action(async () => {
    const { servePeer } = await import('./dfget-server.ts')
    const { home, ip, port, totallimit } = command.optsWithGlobals<Flags>()
    await servePeer(path.resolve(home), { ip, port, totallimit })
  })
command.addCommand(server)

function addPeerOptions(target: Command): void {
  target
    .option('--home <directory>', 'where data, meta and logs of this account are', DEFAULT_HOME)
    .option('--ip <address>', "this host's address for other peers; taken when the resident peer starts")
    .option('--port <port>', 'port for other peers; taken when the resident peer starts', portFlag)
    .addOption(
      new Option('--totallimit <rate>', 'limit per second for sending and for receiving, e.g. 20M').argParser(
        flagValue(parseRate),
      ),
    )
}

async function download(flags: Flags): Promise<void> {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort())
  let request: DownloadCommand | null = null
  try {
    request = await compile(flags, controller.signal)
    const result = await downloadFile(request)
    request.view.finish(result, request.output)
    if (flags.json) process.stdout.write(`${jsonResult(request, result)}\n`)
  } catch (thrown) {
    request?.view.abort()
    const error = toDragonflyError(thrown)
    if (flags.json) process.stdout.write(`${jsonFailure(error)}\n`)
    process.exitCode = flags.json ? error.exitStatus : reportError('dfget', error)
  }
}

async function compile(flags: Flags, signal: AbortSignal): Promise<DownloadCommand> {
  if (!flags.url) throw new DragonflyError('USAGE', 'there is no URL; give one with -u')
  const write = (text: string) => process.stdout.write(text)
  const isTerminal = process.stdout.isTTY === true
  const view =
    flags.showbar || (isTerminal && !flags.json)
      ? barView(flags.json ? text => process.stderr.write(text) : write, () => process.stdout.columns ?? 120)
      : flags.json
        ? silentView
        : plainView(write, systemClock.now)
  return {
    url: flags.url,
    output: path.resolve(flags.output ?? nameFrom(flags.url)),
    headers: flags.header,
    digest: flags.digest ?? null,
    wantsDigest: flags.json,
    nodes: flags.node.length > 0 ? flags.node : [DEFAULT_NODE],
    home: await openHome(path.resolve(flags.home)),
    peerFlags: { ip: flags.ip, port: flags.port, totallimit: flags.totallimit },
    view,
    signal,
  }
}

function nodes(text: string, before: string[]): string[] {
  const given = text.split(',').filter(node => node !== '')
  for (const node of given) flagValue(address => parseHostPort(address, 8002))(node)
  return [...before, ...given]
}

function parseHeader(text: string): [string, string] {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(colon, 0)).trim()
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
    throw new DragonflyError('USAGE', "a header is written 'Name: value'")
  }
  return [name, text.slice(colon + 1).trim()]
}

/** @throws DragonflyError USAGE where the URL's path ends in nothing that could be a file name */
function nameFrom(url: string): string {
  const last = /^[^?#]*\/\/[^/?#]*(?:\/[^?#]*)?\/([^/?#]+)\/*(?:[?#]|$)/.exec(url)?.[1]
  const name = last === undefined ? undefined : decodeName(last)
  if (!name || name === '.' || name === '..' || name.includes('/')) {
    throw new DragonflyError('USAGE', 'the URL names no file; give one with -o')
  }
  return name
}

function decodeName(encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return encoded
  }
}

try {
  process.exitCode = await runCommand(command, process.argv)
} catch (thrown) {
  process.exitCode = reportError('dfget', thrown)
}
