import { DragonflyError } from '../../core/error.ts'
import {
  type JoinAnswer,
  joinAnswer,
  joinRequest,
  type LeaseAnswer,
  type LeaseRequest,
  LOCATED_SUPERNODES_MAX,
  leaseAnswer,
  leaseRequest,
} from '../../wire/manager-api.ts'
import type { Api } from '../api.ts'
import { type ManagerContext, RENEWALS_PER_LEASE, zoneOf } from '../context.ts'
import { supernodeOnly } from '../guards.ts'
import type { Supernode } from '../supernodes.ts'
import { errorAnswers, nothing, supernodePath } from './answers.ts'
import { addressesOf } from './locate.ts'

/** The supernodes' own routes: join the cluster, renew the lease, leave. */
export function addMemberRoutes(api: Api, context: ManagerContext): void {
  addJoinRoute(api, context)
  addLeaseRoute(api, context)
  addLeaveRoute(api, context)
}

function addJoinRoute(api: Api, { tokens, supernodes, refusals, clusterSecret, log }: ManagerContext): void {
  api.post(
    '/join',
    {
      schema: {
        summary: 'A supernode becomes a member of the cluster',
        tags: ['members'],
        body: joinRequest,
        response: { 200: joinAnswer, ...errorAnswers },
      },
    },
    async ({ body, ip }): Promise<JoinAnswer> => {
      const { token, supernodeId } = body
      const { tokenId, credential } = await refusals.check(ip, async () => {
        const id = await tokens.check(token, 'join')
        return { tokenId: id, credential: await supernodes.join(id, supernodeId) }
      })
      log.info({ supernode: supernodeId, tokenId, address: ip }, 'supernode joined')
      return { credential, clusterSecret }
    },
  )
}

function addLeaseRoute(api: Api, context: ManagerContext): void {
  const { supernodes, membership, policy, log } = context
  api.put(
    '/supernodes/:id/lease',
    {
      onRequest: supernodeOnly(context),
      schema: {
        summary: 'A supernode is there, and for how much longer that is taken for granted',
        tags: ['members'],
        security: [{ supernode: [] }],
        params: supernodePath,
        body: leaseRequest,
        response: { 200: leaseAnswer, ...errorAnswers },
      },
    },
    async ({ params, body, ip }): Promise<LeaseAnswer> => {
      const { leaseMs } = policy
      const place = await placeOf(body, ip, context)
      const terms = { leaseMs, zone: zoneOf(place, policy) }
      const renewed = await supernodes.renew(params.id, { ...body, place }, terms)
      if (renewed === null) throw new DragonflyError('CREDENTIAL_INVALID', 'the supernode was removed')
      if (!membership.active().some(({ id }) => id === params.id) && !renewed.isDraining)
        log.info(
          { supernode: params.id, control: body.control, place, zone: terms.zone },
          'supernode is there',
        )
      await membership.renewed(renewed)
      return {
        leaseMs,
        renewMs: Math.floor(leaseMs / RENEWALS_PER_LEASE),
        isDraining: renewed.isDraining,
        place,
        zone: terms.zone,
        parents: parentsOf(renewed, context),
      }
    },
  )
}

function addLeaveRoute(api: Api, context: ManagerContext): void {
  const { supernodes, membership, log } = context
  api.delete(
    '/supernodes/:id/lease',
    {
      onRequest: supernodeOnly(context),
      schema: {
        summary: 'A supernode ends; it stays a member',
        tags: ['members'],
        security: [{ supernode: [] }],
        params: supernodePath,
        response: { 204: nothing, ...errorAnswers },
      },
    },
    async ({ params }, reply) => {
      await supernodes.end(params.id)
      await membership.refresh()
      log.info({ supernode: params.id }, 'supernode left')
      return reply.status(204).send(null)
    },
  )
}

async function placeOf({ hostName, control, pieces }: LeaseRequest, ip: string, { armory }: ManagerContext) {
  const addresses = addressesOf([control.host, pieces.host], ip)
  return (await armory.where({ hostName, addresses })).place
}

/** None in the root zone itself, and where no zone is that. */
function parentsOf({ zone }: Supernode, { membership, policy }: ManagerContext): LeaseAnswer['parents'] {
  if (policy.rootZone === null || zone === policy.rootZone) return []
  return membership
    .active()
    .filter(other => other.zone === policy.rootZone)
    .slice(0, LOCATED_SUPERNODES_MAX)
    .map(({ id, control }) => ({ id, control }))
}
