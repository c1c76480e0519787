import { sleep } from '../core/clock.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import { type Home, openHome } from '../peer/home.ts'
import { lockHome } from '../peer/home-lock.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { openHomePeer } from './home-peer.ts'
import { askPeer } from './peer-process.ts'

const HELD_MS = 30_000
const LOOK_AGAIN_MS = 50

/**
 * Runs the action with the account's peer inside this process, which ends with it: others of the swarm are served meanwhile, and no
 * process stays behind. Where a peer of this home runs already, that one is used, since a home has one peer.
 * @param onStop somebody asks the peer to stop
 */
export async function withOwnPeer<T>(
  settings: DfgetSettings,
  { signal, onStop }: { readonly signal: AbortSignal; onStop(): void },
  action: () => Promise<T>,
): Promise<T> {
  const home = await openHome(settings.workHome)
  const unlock = await lockUnlessServed(home, signal)
  if (unlock === null) return action()
  try {
    signal.throwIfAborted()
    const own = await openHomePeer(home, settings, onStop)
    try {
      return await action()
    } finally {
      await own.close('done')
    }
  } finally {
    await unlock()
  }
}

/** Null where a peer answers. One that is about to start or to end holds the home and does not; what comes of it is awaited. */
async function lockUnlessServed(home: Home, signal: AbortSignal): Promise<(() => Promise<void>) | null> {
  const deadline = systemClock.now() + HELD_MS
  for (;;) {
    try {
      return await lockHome(home)
    } catch (thrown) {
      if (toDragonflyError(thrown).code !== 'ADDRESS_IN_USE') throw thrown
      if (systemClock.now() > deadline) {
        throw new DragonflyError('PEER_NOT_STARTED', `the peer of ${home.root} does not answer`, {
          cause: thrown,
        })
      }
    }
    const answer = await askPeer(home, { method: 'GET', path: '/status', signal }).catch(() => null)
    answer?.resume()
    if (answer !== null) return null
    await sleep(systemClock, LOOK_AGAIN_MS, signal)
  }
}
