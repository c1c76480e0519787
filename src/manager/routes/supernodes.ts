import { DragonflyError } from '../../core/error.ts'
import { drainRequest, type SupernodeView, supernodeList } from '../../wire/manager-api.ts'
import type { Api } from '../api.ts'
import type { ManagerContext } from '../context.ts'
import { adminOnly } from '../guards.ts'
import type { Supernode } from '../supernodes.ts'
import { errorAnswers, nothing, supernodePath } from './answers.ts'

const shape = { tags: ['supernodes'], security: [{ admin: [] }] }

/** The operator's view of the supernodes: list, drain, remove. */
export function addSupernodeRoutes(api: Api, context: ManagerContext): void {
  const { supernodes, membership, log } = context
  const onRequest = adminOnly(context)
  api.get(
    '/supernodes',
    {
      onRequest,
      schema: {
        ...shape,
        summary: 'All supernodes that had a lease',
        response: { 200: supernodeList, ...errorAnswers },
      },
    },
    async () => {
      await membership.refresh()
      return { supernodes: membership.all().map(supernode => viewOf(supernode, membership.asOf)) }
    },
  )
  api.put(
    '/supernodes/:id/drain',
    {
      onRequest,
      schema: {
        ...shape,
        summary: 'A supernode finishes what it has and takes nothing new, or takes new things again',
        params: supernodePath,
        body: drainRequest,
        response: { 204: nothing, ...errorAnswers },
      },
    },
    async ({ params: { id }, body: { isDraining } }, reply) => {
      if (!(await supernodes.drain(id, isDraining))) throw unknown()
      await membership.refresh()
      log.info({ supernode: id }, isDraining ? 'supernode drains' : 'supernode drains no more')
      return reply.status(204).send(null)
    },
  )
  api.delete(
    '/supernodes/:id',
    {
      onRequest,
      schema: {
        ...shape,
        summary: 'A supernode is no member any more; its credential is void',
        params: supernodePath,
        response: { 204: nothing, ...errorAnswers },
      },
    },
    async ({ params: { id } }, reply) => {
      if (!(await supernodes.remove(id))) throw unknown()
      await membership.refresh()
      log.info({ supernode: id }, 'supernode removed')
      return reply.status(204).send(null)
    },
  )
}

function unknown(): DragonflyError {
  return new DragonflyError('REQUEST_NOT_FOUND', 'there is no such supernode')
}

function viewOf({ isDraining, ...supernode }: Supernode, now: number): SupernodeView {
  const state = supernode.expiresAt <= now ? 'expired' : isDraining ? 'draining' : 'active'
  return { ...supernode, state }
}
