import { DragonflyError } from '../core/error.ts'
import type { Home } from '../peer/home.ts'
import { parseSaid, refusalOf } from './peer-answer.ts'
import { askPeer } from './peer-process.ts'

/**
 * Asks the account's resident peer something short; null where none runs.
 * @throws DragonflyError as the peer says
 */
export async function questionPeer<T>(
  home: Home,
  question: { method: string; path: string; body?: unknown },
): Promise<T | null> {
  const answer = await askPeer(home, question)
  if (answer === null) return null
  const parts = await answer.toArray().catch(cause => {
    throw new DragonflyError('PEER_LOST', 'the resident peer broke off', { cause })
  })
  const said = parseSaid(Buffer.concat(parts).toString('utf8'))
  if (answer.statusCode === 200) return said as T
  throw refusalOf(said)
}

export function noPeer(home: Home): DragonflyError {
  return new DragonflyError('PEER_ABSENT', `no resident peer runs for ${home.root}`)
}
