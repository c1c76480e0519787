import { closeSync, writeSync } from 'node:fs'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { openLog } from '../ops/log.ts'
import { systemClock } from '../ops/system-clock.ts'
import { systemRandom } from '../ops/system-random.ts'
import { VERSION } from '../ops/version.ts'
import { openHome } from '../peer/home.ts'
import { lockHome } from '../peer/home-lock.ts'
import { startLocalServer } from '../peer/local-server.ts'
import { Peer } from '../peer/peer.ts'
import { ORIGIN_TIMEOUTS } from './defaults.ts'
import type { PeerFlags } from './peer-process.ts'

/** Without work for so long the resident peer ends itself. */
const ALIVE_MS = 5 * 60_000
const LOOK_EVERY_MS = 5_000

/** Whoever started us listens here for one line that says whether we run. */
const READY_DESCRIPTOR = 3

/** Runs the resident peer until it is told to stop or has been idle long enough. */
export async function servePeer(homeRoot: string, flags: PeerFlags, aliveMs = ALIVE_MS): Promise<void> {
  const home = await openHome(homeRoot)
  const log = openLog(home.logFile)
  let unlock: () => Promise<void>
  try {
    unlock = await lockHome(home)
  } catch (thrown) {
    return tellStarter('ALREADY_RUNNING', toDragonflyError(thrown).message)
  }
  try {
    await serveLocked(home, { flags, aliveMs }, log)
  } catch (thrown) {
    const { code, message } = toDragonflyError(thrown)
    log.error({ code, cause: message }, 'peer not started')
    tellStarter(code, message)
    throw thrown
  } finally {
    await unlock()
  }
}

async function serveLocked(
  home: Awaited<ReturnType<typeof openHome>>,
  { flags, aliveMs }: { flags: PeerFlags; aliveMs: number },
  log: ReturnType<typeof openLog>,
): Promise<void> {
  const { promise: stopped, resolve: stop } = Promise.withResolvers<string>()
  const peer = await Peer.start({
    homeRoot: home.root,
    ip: flags.ip ?? null,
    port: flags.port ?? 0,
    totalLimit: flags.totallimit ?? null,
    originTimeouts: ORIGIN_TIMEOUTS,
    clock: systemClock,
    random: systemRandom,
    log,
  })
  const onStop = () => stop('asked to')
  const local = { peer, socketPath: home.socket, clock: systemClock, onStop }
  const closeLocal = await startLocalServer(local).catch(async thrown => {
    await peer.stop()
    throw thrown
  })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal))
  log.info({ version: VERSION, pid: process.pid, uploadPort: peer.uploadPort }, 'peer started')
  tellStarter('OK', '')
  const cancelWatch = stopWhenIdle(peer, aliveMs, stop)
  const reason = await stopped
  cancelWatch()
  log.info({ reason }, 'peer stops')
  await closeLocal()
  await peer.stop()
}

function stopWhenIdle(peer: Peer, aliveMs: number, stop: (reason: string) => void): () => void {
  let cancel = () => {}
  let busyAt = systemClock.now()
  let sentBytes = 0
  const look = () => {
    const status = peer.status()
    const isBusy = status.sentBytes !== sentBytes || status.tasks.some(task => task.phase !== 'complete')
    if (isBusy) busyAt = systemClock.now()
    sentBytes = status.sentBytes
    if (systemClock.now() - busyAt >= aliveMs) stop('idle')
    else cancel = systemClock.schedule(Math.min(LOOK_EVERY_MS, aliveMs), look)
  }
  look()
  return () => cancel()
}

/** Nobody listens where a person started us in the foreground. */
function tellStarter(code: string, message: string): void {
  try {
    writeSync(READY_DESCRIPTOR, `${JSON.stringify({ code, message })}\n`)
    closeSync(READY_DESCRIPTOR)
  } catch {
    if (code === 'ALREADY_RUNNING') throw new DragonflyError('ADDRESS_IN_USE', message)
    if (code === 'OK') process.stdout.write('dfget server is ready\n')
  }
}
