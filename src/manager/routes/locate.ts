import { isIP } from 'node:net'
import { type LocateAnswer, locateAnswer, locateRequest } from '../../wire/manager-api.ts'
import type { Api } from '../api.ts'
import { assign } from '../assignment.ts'
import { type ManagerContext, zoneOf } from '../context.ts'
import { errorAnswers } from './answers.ts'

/** Supernodes that come or go are found by clients' own tries at once; this is for what is merely better. */
const REFRESH_MS = 60_000

/** Open to all: what it answers is who is where, and no secret. Nothing here waits for the database, save an armory that is a new one. */
export function addLocateRoute(api: Api, context: ManagerContext): void {
  const { armory, membership, policy, locates } = context
  const unknownHosts = new UnknownHosts(context)
  api.post(
    '/locate',
    {
      // Each client asks this, and to check our own answer against its schema took a third of the time.
      serializerCompiler: () => JSON.stringify,
      schema: {
        summary: 'Where a client is, and whom it may ask',
        tags: ['clients'],
        body: locateRequest,
        response: { 200: locateAnswer, ...errorAnswers },
      },
    },
    async ({ body, ip }): Promise<LocateAnswer> => {
      const addresses = addressesOf(body.addresses, ip)
      const { place, isKnown } = await armory.where({ hostName: body.hostName, addresses })
      if (isKnown) locates.known++
      else {
        locates.unknown++
        unknownHosts.report(body.hostName, addresses)
      }
      return {
        place,
        isKnown,
        zone: zoneOf(place, policy),
        groups: assign(place, membership.active(), { isWallOpen: policy.isWallOpen }),
        managers: membership.managers(),
        refreshMs: REFRESH_MS,
      }
    },
  )
}

/** Its own first, the one that we see last: between us there may be a translation of addresses. */
export function addressesOf(own: readonly string[], seen: string): string[] {
  const plain = seen.replace(/^::ffff:(?=\d+\.)/i, '')
  return [...new Set([...own, plain].filter(address => isIP(address) !== 0))]
}

/** The log says of each once that the armory lacks it. */
class UnknownHosts {
  readonly #log: ManagerContext['log']
  readonly #said = new Set<string>()

  constructor({ log }: ManagerContext) {
    this.#log = log
  }

  report(hostName: string, addresses: readonly string[]): void {
    const key = `${hostName} ${addresses.at(-1)}`
    if (this.#said.has(key) || this.#said.size >= UNKNOWN_SAID_MAX) return
    this.#said.add(key)
    this.#log.info({ hostName, addresses }, 'host is not in the armory')
  }
}

const UNKNOWN_SAID_MAX = 10_000
