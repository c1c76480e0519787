import { DragonflyError, toDragonflyError } from '../core/error.ts'
import type { Log } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import { systemRandom } from '../ops/system-random.ts'
import { VERSION } from '../ops/version.ts'
import { DEFAULT_FILE_TIMES } from '../peer/file-life.ts'
import type { Home } from '../peer/home.ts'
import { startLocalServer } from '../peer/local-server.ts'
import { Peer } from '../peer/peer.ts'
import { ORIGIN_TIMEOUTS } from './defaults.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { openKeptLog } from './kept-log.ts'

/** The account's peer in this process, with its socket for commands. */
type HomePeer = {
  readonly peer: Peer
  /** @param reason for the log */
  close(reason: string): Promise<void>
}

/**
 * Whoever calls holds the home's lock until the peer is closed.
 * @param onStop a command asks for the end
 * @throws DragonflyError ADDRESS_IN_USE, DISK_ERROR, HOME_UNUSABLE
 */
export async function openHomePeer(
  home: Home,
  settings: DfgetSettings,
  onStop: () => void,
): Promise<HomePeer> {
  const logFile = settings.logPath ?? home.logFile
  const limits = { maxBytes: settings.logMaxSize * 1024 ** 2, backups: settings.logMaxBackups }
  const log = await openKeptLog(logFile, limits, settings.verbose)
  try {
    return await openLogged(home, settings, { log, onStop })
  } catch (thrown) {
    const { code, message } = toDragonflyError(thrown)
    log.error({ code, cause: message }, 'peer not started')
    throw thrown
  }
}

async function openLogged(
  home: Home,
  settings: DfgetSettings,
  { log, onStop }: { log: Log; onStop: () => void },
): Promise<HomePeer> {
  const peer = await Peer.start({
    homeRoot: home.root,
    ip: settings.ip,
    port: settings.port,
    totalLimit: settings.totalLimit,
    fileTimes: { ...DEFAULT_FILE_TIMES, expireMs: settings.expireTime },
    originTimeouts: ORIGIN_TIMEOUTS,
    clock: systemClock,
    random: systemRandom,
    log,
  })
  const local = { peer, socketPath: home.socket, clock: systemClock, log, onStop }
  const closeLocal = await startLocalServer(local).catch(async cause => {
    await peer.stop()
    const said = `${home.socket} cannot be listened on: ${cause.message}`
    throw new DragonflyError('HOME_UNUSABLE', said, { cause })
  })
  log.info({ version: VERSION, pid: process.pid, uploadPort: peer.uploadPort }, 'peer started')
  return {
    peer,
    async close(reason) {
      log.info({ reason }, 'peer stops')
      await closeLocal()
      await peer.stop()
    },
  }
}
