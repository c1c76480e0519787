import * as z from 'zod'
import type { Api } from '../api.ts'
import type { ManagerContext } from '../context.ts'

const health = z.strictObject({ status: z.literal('ok'), database: z.enum(['ok', 'failing']) })

/**
 * For load balancers and supervisors. A database that does not answer is said, and is no reason to take the managing node out: it
 * answers clients from memory meanwhile.
 */
export function addHealthRoutes(api: Api, { membership }: ManagerContext): void {
  api.get(
    '/healthz',
    { schema: { summary: 'Whether the managing node runs', tags: ['health'], response: { 200: health } } },
    () => ({ status: 'ok' as const, database: membership.isFresh ? ('ok' as const) : ('failing' as const) }),
  )
}
