import { sleep } from '../core/clock.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { formatSize } from '../core/size.ts'
import { systemClock } from '../ops/system-clock.ts'
import { type Home, openHome } from '../peer/home.ts'
import { lockHome } from '../peer/home-lock.ts'
import type { PeerStatus, RunSnapshot } from '../wire/local.ts'
import { limitText } from './dfget-limit.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { noPeer, questionPeer } from './peer-question.ts'

/** `dfget server --status` and `--stop`: what the account's resident peer is at, and its end. */

const STOP_MS = 30_000
const LOOK_EVERY_MS = 20

/** @throws DragonflyError PEER_ABSENT where no peer runs */
export async function describePeer(settings: DfgetSettings): Promise<string> {
  const home = await openHome(settings.workHome)
  const status = await questionPeer<PeerStatus>(home, { method: 'GET', path: '/status' })
  if (status === null) throw noPeer(home)
  if (settings.json) return `${JSON.stringify({ home: home.root, ...status })}\n`
  const { version, pid, uploadPort, sentBytes, isFinishing, limits, tasks } = status
  return [
    `resident peer ${version}, process ${pid}${isFinishing ? ', about to end' : ''}`,
    `home ${home.root}`,
    `sends on port ${uploadPort}, ${formatSize(sentBytes)} sent`,
    `limits total ${limitText(limits.total)}, local ${limitText(limits.local)}`,
    `tasks ${tasks.length}`,
    ...tasks.map(taskLine),
    '',
  ].join('\n')
}

/** Resolves when the peer is gone, so that what comes next finds the home free. That there was none is no failure. */
export async function stopPeer(settings: Pick<DfgetSettings, 'workHome'>): Promise<string> {
  const home = await openHome(settings.workHome)
  const status = await questionPeer<PeerStatus>(home, { method: 'GET', path: '/status' })
  if (status === null) return `${noPeer(home).message}\n`
  await questionPeer(home, { method: 'POST', path: '/stop' })
  const deadline = systemClock.now() + STOP_MS
  while (!(await isGone(home, status.pid))) {
    if (systemClock.now() > deadline) throw new DragonflyError('PEER_LOST', 'the resident peer does not end')
    await sleep(systemClock, LOOK_EVERY_MS)
  }
  return 'resident peer stopped\n'
}

/** The home is free, or has another peer already. */
async function isGone(home: Home, pid: number): Promise<boolean> {
  try {
    const unlock = await lockHome(home)
    await unlock()
    return true
  } catch (thrown) {
    if (toDragonflyError(thrown).code !== 'ADDRESS_IN_USE') throw thrown
  }
  const other = await questionPeer<PeerStatus>(home, { method: 'GET', path: '/status' }).catch(() => null)
  return other !== null && other.pid !== pid
}

function taskLine({ taskId, phase, heldBytes, lengthBytes }: RunSnapshot): string {
  const of = lengthBytes === null ? '' : ` of ${formatSize(lengthBytes)}`
  return `  ${taskId.slice(0, 16)} ${phase}, ${formatSize(heldBytes)}${of}`
}
