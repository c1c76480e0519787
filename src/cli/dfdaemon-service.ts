import path from 'node:path'
import { toDragonflyError } from '../core/error.ts'
import { formatHostPort } from '../core/host-port.ts'
import { Dfdaemon } from '../dfdaemon/dfdaemon.ts'
import type { ContentFetcher } from '../dfdaemon/options.ts'
import type { Log } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import { systemRandom } from '../ops/system-random.ts'
import { VERSION } from '../ops/version.ts'
import { dfgetFlags, residentFetcher } from './dfdaemon-fetcher.ts'
import { checkAs1x, compileDfdaemonOptions, RefusedSetting } from './dfdaemon-options.ts'
import { type DfdaemonSettings, withoutEffect } from './dfdaemon-settings.ts'
import { findStaragentDfget, openExternalDfget } from './external-dfget.ts'
import { openKeptLog } from './kept-log.ts'

/** dfdaemon from its settings to a running server, for its own command and for the whole system. */

type Surroundings = {
  readonly environment: NodeJS.ProcessEnv
  readonly args: readonly string[]
  /** The file of dfget, which the resident peer is started with. */
  readonly dfget: string
}

type RunningDfdaemon = {
  /** `http://host:port` */
  readonly url: string
  stop(): Promise<void>
}

type OpenFetcher = {
  readonly fetcher: ContentFetcher
  /** Now that there may be something to fetch. */
  start(): void
  stop(): void | Promise<void>
}

/** @throws DragonflyError CONFIG_INVALID, HOME_UNUSABLE, ADDRESS_IN_USE, DISK_ERROR, PEER_NOT_STARTED */
export async function startDfdaemon(
  settings: DfdaemonSettings,
  surroundings: Surroundings,
): Promise<RunningDfdaemon> {
  checkAs1x(settings)
  const log = await openLogOf(settings)
  const unused = withoutEffect(settings)
  if (unused.length > 0) log.warn({ settings: unused }, 'settings without effect')
  const { fetcher, ...fetching } = await openFetcher(settings, { ...surroundings, log })
  try {
    const options = await compileDfdaemonOptions(settings, { ...surroundings, fetcher, log })
    const dfdaemon = await Dfdaemon.start(options)
    log.info({ version: VERSION, pid: process.pid, port: dfdaemon.port }, 'dfdaemon started')
    const stop = async () => {
      log.info({}, 'dfdaemon stops')
      await dfdaemon.stop()
      await fetching.stop()
    }
    fetching.start()
    const address = formatHostPort({ host: options.host, port: dfdaemon.port })
    return { url: `${options.tls === null ? 'http' : 'https'}://${address}`, stop }
  } catch (thrown) {
    await fetching.stop()
    throw thrown
  }
}

async function openLogOf({ workHome, logConfig = {}, verbose }: DfdaemonSettings): Promise<Log> {
  const file = path.resolve(logConfig.path || path.join(workHome!, 'logs', 'dfdaemon.log'))
  const limits = { maxBytes: Number(logConfig.maxSize) * 1024 ** 2, backups: Number(logConfig.maxBackups) }
  return openKeptLog(file, limits, verbose ?? false)
}

async function openFetcher(
  settings: DfdaemonSettings,
  surroundings: Surroundings & { readonly log: Log },
): Promise<OpenFetcher> {
  const { dfpath, staragent, workHome, localrepo } = settings
  const program = dfpath ? path.resolve(dfpath) : staragent ? await findStaragentDfget() : null
  if (program === null) {
    const { fetcher, attendance } = await residentFetcher(settings, surroundings)
    // So that the first layer need not wait for the peer.
    return { fetcher, start: () => attendance.renew(), stop: () => attendance.stop() }
  }
  const { log } = surroundings
  const directory = localrepo || path.join(workHome!, 'dfdaemon', 'data')
  const external = { program, flags: dfgetFlags(settings, twice(settings.supernodes ?? [])), directory }
  log.info({ program, directory }, 'a program of its own fetches')
  const { fetcher, stop } = await openExternalDfget({ ...external, clock: systemClock, log }).catch(
    thrown => {
      const { code, message } = toDragonflyError(thrown)
      throw code === 'DISK_ERROR' ? new RefusedSetting(16, `localrepo: ${message}`) : thrown
    },
  )
  return { fetcher, start() {}, stop }
}

/** In an order that differs from host to host, and each node once more at the end, since dfget 1.x tries each but once. */
function twice(nodes: readonly string[]): string[] {
  const shuffled = nodes
    .map(node => ({ node, place: systemRandom.next() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ node }) => node)
  return [...shuffled, ...shuffled]
}
