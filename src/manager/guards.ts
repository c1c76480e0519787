import type { FastifyRequest } from 'fastify'
import type { ManagerContext } from './context.ts'
import { bearerOf } from './secrets.ts'

/** Who may ask a route. They run before a body is read. */

/** @throws DragonflyError CREDENTIAL_INVALID, CREDENTIAL_REFUSED, MANAGER_OVERLOADED */
export function adminOnly({ tokens, refusals }: ManagerContext): (request: FastifyRequest) => Promise<void> {
  return async ({ ip, headers }) => {
    await refusals.check(ip, () => tokens.check(bearerOf(headers.authorization), 'admin'))
  }
}

/** The supernode that the path names. @throws as {@link adminOnly} */
export function supernodeOnly({
  supernodes,
  refusals,
}: ManagerContext): (request: FastifyRequest) => Promise<void> {
  return async ({ ip, headers, params }) => {
    const { id } = params as { id: string }
    await refusals.check(ip, () => supernodes.checkCredential(id, bearerOf(headers.authorization)))
  }
}
