import * as z from 'zod'
import { DragonflyError } from '../../core/error.ts'
import { tokenAnswer, tokenList, tokenRequest } from '../../wire/manager-api.ts'
import type { Api } from '../api.ts'
import type { ManagerContext } from '../context.ts'
import { adminOnly } from '../guards.ts'
import { errorAnswers, nothing } from './answers.ts'

const shape = { tags: ['tokens'], security: [{ admin: [] }] }
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
        response: { 200: tokenList, ...errorAnswers },
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
        response: { 201: tokenAnswer, ...errorAnswers },
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
        response: { 204: nothing, ...errorAnswers },
      },
    },
    async ({ params: { id } }, reply) => {
      if (!(await tokens.revoke(id))) throw new DragonflyError('REQUEST_NOT_FOUND', 'there is no such token')
      log.info({ tokenId: id }, 'token revoked')
      return reply.status(204).send(null)
    },
  )
}
