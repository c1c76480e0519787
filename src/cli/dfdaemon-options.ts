import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { createSecureContext } from 'node:tls'
import { parseDuration } from '../core/duration.ts'
import { DragonflyError } from '../core/error.ts'
import { parseCidr } from '../core/ip-address.ts'
import type {
  ClientOptions,
  ContentFetcher,
  DfdaemonOptions,
  ForwardProxyOptions,
  MirrorOptions,
  Registry,
  UpstreamTrust,
} from '../dfdaemon/options.ts'
import type { Log } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import { systemRandom } from '../ops/system-random.ts'
import { authorityFields } from '../origin/trust.ts'
import type { DfdaemonSettings } from './dfdaemon-settings.ts'
import { shownArguments, shownSettings } from './dfdaemon-shown.ts'
import { askedRegistry, parseRegistryName, parseRegistryUrl, parseUrlPattern } from './dfdaemon-values.ts'
import { parsePort, parseProxy } from './dfget-values.ts'
import { proxiesInForce } from './origin-proxies.ts'

/** From what is in force to what the daemon is told: files are read, texts become addresses, patterns and numbers. */

/** With the exit status that dfdaemon 1.x has for it. */
export class RefusedSetting extends DragonflyError {
  readonly #exitStatus: number

  constructor(exitStatus: number, message: string) {
    super('CONFIG_INVALID', message)
    this.#exitStatus = exitStatus
  }

  override get exitStatus(): number {
    return this.#exitStatus
  }
}

/** What is not a setting. */
type Surroundings = {
  readonly environment: NodeJS.ProcessEnv
  /** Command line, without the program. */
  readonly args: readonly string[]
  readonly fetcher: ContentFetcher
  readonly log: Log
}

/** @throws DragonflyError CONFIG_INVALID */
export async function compileDfdaemonOptions(
  settings: DfdaemonSettings,
  { environment, args, fetcher, log }: Surroundings,
): Promise<DfdaemonOptions> {
  const { httpProxy, httpsProxy, proxyExcept } = settings
  const written = (proxy: string | undefined) => (proxy ? parseProxy(proxy).href : undefined)
  const proxies = { httpProxy: written(httpProxy), httpsProxy: written(httpsProxy), proxyExcept }
  return Object.freeze({
    host: settings.hostIp!,
    port: portOf(settings),
    tls: await tlsOf(settings),
    mirror: await mirrorOf(settings),
    proxy: await forwardProxyOf(settings),
    clients: await clientsOf(settings),
    proxies: proxiesInForce(proxies, environment),
    fetcher,
    accessMemoryMs: parseDuration(settings.accessMemory!),
    shown: { args: shownArguments(args), settings: shownSettings(settings) },
    clock: systemClock,
    random: systemRandom,
    log,
  })
}

/** @throws DragonflyError with exit status 14, or 12 */
export function checkAs1x({ port, localrepo }: DfdaemonSettings): void {
  portOf({ port })
  if (localrepo && !path.isAbsolute(localrepo)) {
    throw new RefusedSetting(12, `localrepo: "${localrepo}" is not an absolute path`)
  }
}

function portOf({ port }: Pick<DfdaemonSettings, 'port'>): number {
  try {
    return parsePort(port!)
  } catch {
    throw new RefusedSetting(14, 'port: a port is a number up to 65535; 0 lets the system choose')
  }
}

async function tlsOf({ certpem, keypem }: DfdaemonSettings): Promise<DfdaemonOptions['tls']> {
  if (!certpem && !keypem) return null
  return readPair(['certpem', certpem], ['keypem', keypem])
}

async function mirrorOf({ registry_mirror, registries = [] }: DfdaemonSettings): Promise<MirrorOptions> {
  const usual = await registryOf('registry_mirror', registry_mirror!)
  const named = new Map<string, Registry>()
  for (const [index, registry] of registries.entries()) {
    const name = parseRegistryName(registry.name)
    if (named.has(name)) throw invalid(`registries: "${name}" is in it twice`)
    named.set(name, await registryOf(`registries[${index}]`, registry))
  }
  return { usual, registries: named }
}

async function registryOf(
  key: string,
  { remote, direct = false, ...trust }: NonNullable<DfdaemonSettings['registry_mirror']>,
): Promise<Registry> {
  if (!remote) throw invalid(`${key}.remote: a registry is wanted`)
  return {
    remote: askedRegistry(parseRegistryUrl(remote)),
    trust: await trustOf(key, trust),
    isDirect: direct,
  }
}

async function trustOf(
  key: string,
  { certs = [], insecure = false }: { certs?: readonly string[]; insecure?: boolean },
): Promise<UpstreamTrust> {
  const texts = await Promise.all(
    certs.map(async file => {
      const text = await readText(`${key}.certs`, file)
      checked(`${key}.certs: ${file}`, () => authorityFields(text))
      return text
    }),
  )
  return { authorities: texts.length === 0 ? null : texts.join('\n'), isInsecure: insecure }
}

async function forwardProxyOf({
  proxies = [],
  hijack_https,
}: DfdaemonSettings): Promise<ForwardProxyOptions> {
  const rules = proxies.map(({ regx, use_https = false, direct = false, redirect }) => ({
    pattern: parseUrlPattern(regx),
    usesHttps: use_https,
    isDirect: direct,
    redirect: redirect || null,
  }))
  const { cert, key, hosts = [] } = hijack_https ?? {}
  if (!cert && !key) return { rules, hijack: null }
  const pair = await readPair(['hijack_https.cert', cert], ['hijack_https.key', key])
  const opened = hosts.map(async ({ regx, ...trust }) => ({
    pattern: parseUrlPattern(regx),
    trust: await trustOf('hijack_https.hosts', trust),
  }))
  return { rules, hijack: { ...pair, hosts: await Promise.all(opened) } }
}

async function clientsOf({ allowedClients = [], proxyAuth }: DfdaemonSettings): Promise<ClientOptions> {
  const allowed = allowedClients.map(parseCidr)
  const { user, passwordFile } = proxyAuth ?? {}
  if (!user && !passwordFile) return { allowed, credentials: null }
  if (!user || !passwordFile) throw invalid('proxyAuth: user and passwordFile belong together')
  const [password] = (await readText('proxyAuth.passwordFile', passwordFile)).split(/\r?\n/, 1)
  if (password === '') throw invalid(`proxyAuth.passwordFile: the first line of ${passwordFile} is empty`)
  return { allowed, credentials: { user, password } }
}

type Named = readonly [key: string, file: string | undefined]

async function readPair(
  [certKey, certFile]: Named,
  [keyKey, keyFile]: Named,
): Promise<{ cert: string; key: string }> {
  if (!certFile || !keyFile) throw invalid(`${certKey} and ${keyKey} belong together`)
  const [cert, key] = [await readText(certKey, certFile), await readText(keyKey, keyFile)]
  checked(`${certFile}, ${keyFile}`, () => createSecureContext({ cert, key }))
  return { cert, key }
}

async function readText(key: string, file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw invalid(`${key}: ${file} cannot be read: ${cause.code}`)
  })
}

function checked(what: string, check: () => unknown): void {
  try {
    check()
  } catch (thrown) {
    throw invalid(`${what}: ${(thrown as Error).message}`)
  }
}

function invalid(message: string): DragonflyError {
  return new DragonflyError('CONFIG_INVALID', message)
}
