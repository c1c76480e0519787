import { VERSION } from '../../ops/version.ts'
import { type Overview, overview } from '../../wire/manager-api.ts'
import type { Api } from '../api.ts'
import type { ManagerContext } from '../context.ts'
import { adminOnly } from '../guards.ts'
import { errorAnswers } from './answers.ts'

/** The cluster in numbers. */
export function addOverviewRoute(api: Api, context: ManagerContext): void {
  api.get(
    '/overview',
    {
      onRequest: adminOnly(context),
      schema: {
        summary: 'The cluster in numbers',
        tags: ['overview'],
        security: [{ admin: [] }],
        response: { 200: overview, ...errorAnswers },
      },
    },
    async (): Promise<Overview> => {
      await context.membership.refresh()
      return overviewOf(context)
    },
  )
}

function overviewOf({ membership, database, locates }: ManagerContext): Overview {
  const all = membership.all()
  const there = all.filter(({ expiresAt }) => expiresAt > membership.asOf)
  const draining = there.filter(({ isDraining }) => isDraining).length
  const sum = (key: 'peers' | 'tasks' | 'sentBytesPerSecond') =>
    there.reduce((total, { load }) => total + load[key], 0)
  const byZone = Map.groupBy(there, ({ zone }) => zone)
  return {
    version: VERSION,
    database,
    managers: membership.managers(),
    supernodes: { active: there.length - draining, draining, expired: all.length - there.length },
    load: { peers: sum('peers'), tasks: sum('tasks'), sentBytesPerSecond: sum('sentBytesPerSecond') },
    zones: [...byZone].map(([zone, members]) => ({ zone, supernodes: members.length })),
    locates: { ...locates },
  }
}
