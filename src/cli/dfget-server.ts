import { closeSync, writeSync } from 'node:fs'
import { toDragonflyError } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import { type Home, openHome } from '../peer/home.ts'
import { lockHome } from '../peer/home-lock.ts'
import type { Peer } from '../peer/peer.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { openHomePeer } from './home-peer.ts'

const LOOK_EVERY_MS = 5_000

/** Whoever started us listens here for one line that says whether we run. */
const READY_DESCRIPTOR = 3

/** Runs the resident peer until it is told to stop or has been idle long enough. */
export async function servePeer(settings: DfgetSettings): Promise<void> {
  try {
    const home = await openHome(settings.workHome)
    const unlock = await lockUnlessRunning(home)
    if (unlock === null) return
    try {
      await serveLocked(home, settings)
    } finally {
      await unlock()
    }
  } catch (thrown) {
    const { code, message } = toDragonflyError(thrown)
    tellStarter(code, message)
    throw thrown
  }
}

/** Null where whoever started us knows now that another peer holds the home. */
async function lockUnlessRunning(home: Home): Promise<(() => Promise<void>) | null> {
  try {
    return await lockHome(home)
  } catch (thrown) {
    const { code, message } = toDragonflyError(thrown)
    if (code !== 'ADDRESS_IN_USE') throw thrown
    if (!tellStarter('ALREADY_RUNNING', message)) throw thrown
    return null
  }
}

async function serveLocked(home: Home, settings: DfgetSettings): Promise<void> {
  const { promise: stopped, resolve: stop } = Promise.withResolvers<string>()
  const { peer, close } = await openHomePeer(home, settings, () => stop('asked to'))
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal))
  if (!tellStarter('OK', '')) process.stdout.write('dfget server is ready\n')
  const cancelWatch = settings.aliveTime === null ? () => {} : stopWhenIdle(peer, settings.aliveTime, stop)
  const reason = await stopped
  cancelWatch()
  await close(reason)
}

function stopWhenIdle(peer: Peer, aliveMs: number, stop: (reason: string) => void): () => void {
  let cancel = () => {}
  let busyAt = systemClock.now()
  let sentBytes = 0
  const look = () => {
    const status = peer.status()
    const isBusy =
      status.commands > 0 ||
      status.attendants > 0 ||
      status.sentBytes !== sentBytes ||
      status.tasks.some(task => task.phase !== 'complete')
    if (isBusy) busyAt = systemClock.now()
    sentBytes = status.sentBytes
    if (systemClock.now() - busyAt >= aliveMs) stop('idle')
    else cancel = systemClock.schedule(Math.min(LOOK_EVERY_MS, aliveMs), look)
  }
  look()
  return () => cancel()
}

/** False where nobody listens, since a person started us in the foreground. */
function tellStarter(code: string, message: string): boolean {
  try {
    writeSync(READY_DESCRIPTOR, `${JSON.stringify({ code, message })}\n`)
    closeSync(READY_DESCRIPTOR)
    return true
  } catch {
    return false
  }
}
