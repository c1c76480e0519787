import { formatRateLimit, parseRateLimit } from '../core/rate.ts'
import { openHome } from '../peer/home.ts'
import type { LimitStatus } from '../wire/local.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { noPeer, questionPeer } from './peer-question.ts'

/**
 * Shows the limits of the running peer, changed before where a change is asked for.
 * @throws DragonflyError USAGE; PEER_ABSENT where no peer runs
 */
export async function limitPeer(
  settings: DfgetSettings,
  { total, local }: { total?: string; local?: string },
): Promise<string> {
  const change = {
    total: total === undefined ? undefined : parseRateLimit(total),
    local: local === undefined ? undefined : parseRateLimit(local),
  }
  const home = await openHome(settings.workHome)
  // The question is the change that changes nothing.
  const limits = await questionPeer<LimitStatus>(home, { method: 'POST', path: '/limits', body: change })
  if (limits === null) throw noPeer(home)
  if (settings.json) return `${JSON.stringify(limits)}\n`
  return `total ${limitText(limits.total)}\nlocal ${limitText(limits.local)}\n`
}

export function limitText(rate: number | null): string {
  return rate === null ? 'none' : `${formatRateLimit(rate)}/s`
}
