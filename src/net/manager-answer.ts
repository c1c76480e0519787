import { hasControlCharacter } from '../core/text.ts'
import {
  type LeaseAnswer,
  LOCATED_MANAGERS_MAX,
  LOCATED_SUPERNODES_MAX,
  type LocateAnswer,
} from '../wire/manager-api.ts'

/** What an answer of a managing node must be beyond its shape, because it ends up in files and is asked for later. */

/** What is wrong with it, or null. */
export function faultInLocated({
  groups,
  managers,
}: Pick<LocateAnswer, 'groups' | 'managers'>): string | null {
  const count = groups.reduce((sum, group) => sum + group.supernodes.length, 0)
  if (count > LOCATED_SUPERNODES_MAX) return `more than ${LOCATED_SUPERNODES_MAX} supernodes`
  if (managers.length > LOCATED_MANAGERS_MAX) return `more than ${LOCATED_MANAGERS_MAX} managing nodes`
  const isWrong = managers.some(manager => managerOrigin(manager) === null)
  return isWrong ? 'a managing node is not written http://host:port' : null
}

/** What is wrong with it, or null. */
export function faultInLease({ parents }: LeaseAnswer): string | null {
  return parents.length > LOCATED_SUPERNODES_MAX ? `more than ${LOCATED_SUPERNODES_MAX} parents` : null
}

/** `http(s)://host:port` of a managing node, however it was written; null where it is none, or says more than that. */
export function managerOrigin(text: string): string | null {
  // URLs are parsed as if there were no line breaks in them.
  if (hasControlCharacter(text)) return null
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null
  const isBare = url.pathname === '/' && url.search === '' && url.hash === ''
  return isBare && url.username === '' && url.password === '' ? url.origin : null
}
