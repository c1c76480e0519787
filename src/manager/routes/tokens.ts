import * as z from 'zod'
import { DragonflyError } from '../../core/error.ts'
import { apiError, tokenAnswer, tokenList, tokenRequest } from '../../wire/manager-api.ts'
import type { Api } from '../api.ts'
import type { ManagerContext } from '../context.ts'
import { adminOnly } from '../guards.ts'
import { nothing } from './members.ts'

const shape = { tags: ['tokens'], security: [{ admin: [] }] }
const errors = { '4xx': apiError, '5xx': apiError }
const tokenPath = z.strictObject({ id: z.string().regex(/^[0-9a-f]{16}$/) })

/** Make, list and revoke tokens; the command `manager token` does the same on the database itself. */
export function addTokenRoutes(api: Api, context: ManagerContext): void {
  const { tokens, log } = context
  const onRequest = adminOnly(context)
  api.get(
    '/tokens',
    {
      onRequest,
      schema: {
        ...shape,
        summary: 'Tokens, the newest first, without their secrets',
        response: { 200: tokenList, ...errors },
      },
    },
    async () => ({ tokens: await tokens.list() }),
  )
  api.post(
    '/tokens',
    {
      onRequest,
      schema: {
        ...shape,
        summary: 'Make a token; it is told this once',
        body: tokenRequest,
        response: { 201: tokenAnswer, ...errors },
      },
    },
    async ({ body }, reply) => {
      const made = await tokens.create(body)
      log.info({ tokenId: made.view.id, kind: body.kind, name: body.name }, 'token made')
      return reply.status(201).header('cache-control', 'no-store').send(made)
    },
  )
  api.delete(
    '/tokens/:id',
    {
      onRequest,
      schema: {
        ...shape,
        summary: 'Nobody joins or administers with the token any more; who joined with it stays a member',
        params: tokenPath,
        response: { 204: nothing, ...errors },
      },
    },
    async ({ params: { id } }, reply) => {
      if (!(await tokens.revoke(id))) throw new DragonflyError('REQUEST_NOT_FOUND', 'there is no such token')
      log.info({ tokenId: id }, 'token revoked')
      return reply.status(204).send(null)
    },
  )
}
