import * as z from 'zod'
import { DragonflyError } from '../../core/error.ts'
import {
  apiError,
  type JoinAnswer,
  joinAnswer,
  joinRequest,
  type LeaseAnswer,
  type LeaseRequest,
  leaseAnswer,
  leaseRequest,
} from '../../wire/manager-api.ts'
import type { Api } from '../api.ts'
import { type ManagerContext, zoneOf } from '../context.ts'
import { supernodeOnly } from '../guards.ts'
import type { Supernode } from '../supernodes.ts'
import { addressesOf } from './locate.ts'

const RENEWALS_PER_LEASE = 3
/** Who should fill from a parent and has none yet hears soon that there is one: until then it reads the origin. */
const ORPHAN_RENEW_MS = 1_000

export const supernodePath = z.strictObject({ id: joinRequest.shape.supernodeId })
/** A body that is none, of status 204. */
export const nothing = z.null().describe('nothing')

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
        response: { 200: joinAnswer, '4xx': apiError, '5xx': apiError },
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
        response: { 200: leaseAnswer, '4xx': apiError, '5xx': apiError },
      },
    },
    async ({ params, body, ip }): Promise<LeaseAnswer> => {
      const { leaseMs } = policy
      const usualMs = leaseMs / RENEWALS_PER_LEASE
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
      const parents = parentsOf(renewed, context)
      const isOrphan = parents?.length === 0
      return {
        leaseMs,
        renewMs: Math.floor(isOrphan ? Math.min(ORPHAN_RENEW_MS, usualMs) : usualMs),
        isDraining: renewed.isDraining,
        place,
        zone: terms.zone,
        parents: parents ?? [],
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
        response: { 204: nothing, '4xx': apiError, '5xx': apiError },
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

/** Null in the root zone itself, and where there is none. */
function parentsOf(
  { zone }: Supernode,
  { membership, policy }: ManagerContext,
): LeaseAnswer['parents'] | null {
  if (policy.rootZone === null || zone === policy.rootZone) return null
  return membership
    .active()
    .filter(other => other.zone === policy.rootZone)
    .map(({ id, control }) => ({ id, control }))
}
