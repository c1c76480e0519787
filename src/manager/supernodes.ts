import { type Kysely, type Selectable, sql } from 'kysely'
import type { Clock } from '../core/clock.ts'
import { DragonflyError } from '../core/error.ts'
import type { HostPlace, LeaseRequest } from '../wire/manager-api.ts'
import { hashOf, isSecretOf, newSecret } from './secrets.ts'
import type { Tables } from './tables.ts'

/** What a supernode said at its last renewal, and where the armory has it. */
type LeaseRecord = LeaseRequest & { readonly place: HostPlace }

/** A member that has had a lease. */
export type Supernode = LeaseRecord & {
  readonly id: string
  readonly zone: string | null
  readonly isDraining: boolean
  readonly renewedAt: number
  readonly expiresAt: number
}

/** More cannot join; those that are gone for good are removed. */
const SUPERNODES_MAX = 5_000

/** The members of the cluster, and until when each is taken to be there. */
export class Supernodes {
  readonly #kysely: Kysely<Tables>
  readonly #clock: Clock

  constructor(kysely: Kysely<Tables>, clock: Clock) {
    this.#kysely = kysely
    this.#clock = clock
  }

  /**
   * The supernode's new credential; one that it had before is void. Counts as a use of the token, unless it is this supernode's
   * join with the same token over again.
   * @throws DragonflyError CREDENTIAL_INVALID where the token is over or used up, MANAGER_OVERLOADED
   */
  async join(tokenId: string, id: string): Promise<string> {
    const credential = newSecret()
    const member = {
      id,
      credential_hash: hashOf(credential),
      token_id: tokenId,
      joined_at: this.#clock.wallNow(),
    }
    const noLease = { is_draining: 0, renewed_at: 0, expires_at: 0, zone: null, lease: '' }
    await this.#kysely.transaction().execute(async transaction => {
      await useToken(transaction, { tokenId, supernodeId: id, now: member.joined_at })
      const others = await transaction
        .selectFrom('supernodes')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .where('id', '<>', id)
        .executeTakeFirstOrThrow()
      if (others.count >= SUPERNODES_MAX)
        throw new DragonflyError('MANAGER_OVERLOADED', `the cluster has ${SUPERNODES_MAX} supernodes already`)
      await transaction
        .insertInto('supernodes')
        .values({ ...member, ...noLease })
        .onConflict(conflict => conflict.column('id').doUpdateSet(member))
        .execute()
    })
    return credential
  }

  /** @throws DragonflyError CREDENTIAL_INVALID, or CREDENTIAL_REFUSED for the credential of another supernode */
  async checkCredential(id: string, credential: string): Promise<void> {
    const own = await this.#kysely
      .selectFrom('supernodes')
      .select('credential_hash')
      .where('id', '=', id)
      .executeTakeFirst()
    if (isSecretOf(credential, own?.credential_hash ?? null)) return
    const other = await this.#kysely
      .selectFrom('supernodes')
      .select('id')
      .where('credential_hash', '=', hashOf(credential))
      .executeTakeFirst()
    if (other !== undefined)
      throw new DragonflyError('CREDENTIAL_REFUSED', 'this is the credential of another supernode')
    throw new DragonflyError(
      'CREDENTIAL_INVALID',
      'the supernode has not joined with this credential, or was removed',
    )
  }

  /** Null where it is no member any more. */
  async renew(
    id: string,
    lease: LeaseRecord,
    terms: { leaseMs: number; zone: string | null },
  ): Promise<Supernode | null> {
    const now = this.#clock.wallNow()
    const row = await this.#kysely
      .updateTable('supernodes')
      .set({
        renewed_at: now,
        expires_at: now + terms.leaseMs,
        zone: terms.zone,
        lease: JSON.stringify(lease),
      })
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirst()
    return row === undefined ? null : supernodeOf(row)
  }

  /** Those that have had a lease, by id. */
  async list(): Promise<Supernode[]> {
    const rows = await this.#kysely
      .selectFrom('supernodes')
      .selectAll()
      .where('renewed_at', '>', 0)
      .orderBy('id')
      .execute()
    return rows.map(supernodeOf)
  }

  /** It is gone, and need not be waited for. */
  async end(id: string): Promise<void> {
    await this.#kysely
      .updateTable('supernodes')
      .set({ expires_at: this.#clock.wallNow() })
      .where('id', '=', id)
      .execute()
  }

  /** False where there is no such supernode. */
  async drain(id: string, isDraining: boolean): Promise<boolean> {
    const changed = await this.#kysely
      .updateTable('supernodes')
      .set({ is_draining: isDraining ? 1 : 0 })
      .where('id', '=', id)
      .executeTakeFirst()
    return changed.numUpdatedRows > 0n
  }

  /** Its credential is void from then on. False where there is no such supernode. */
  async remove(id: string): Promise<boolean> {
    const removed = await this.#kysely.deleteFrom('supernodes').where('id', '=', id).executeTakeFirst()
    return removed.numDeletedRows > 0n
  }
}

/** One statement, so that of two who come at once with the last use one gets it; and a write, so that SQLite waits for its turn here. */
async function useToken(
  kysely: Kysely<Tables>,
  { tokenId, supernodeId, now }: { tokenId: string; supernodeId: string; now: number },
): Promise<void> {
  const isAgain = sql<number>`(select count(*) from supernodes where id = ${supernodeId} and token_id = ${tokenId})`
  const used = await kysely
    .updateTable('tokens')
    .set(({ eb }) => ({ uses: eb('uses', '+', sql<number>`1 - ${isAgain}`) }))
    .where('id', '=', tokenId)
    .where('kind', '=', 'join')
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .where(({ eb, or, ref }) =>
      or([eb('uses_max', 'is', null), eb('uses', '<', ref('uses_max')), eb(isAgain, '>', 0)]),
    )
    .executeTakeFirst()
  if (used.numUpdatedRows === 0n)
    throw new DragonflyError('CREDENTIAL_INVALID', 'the token is used up, has expired, or was revoked')
}

function supernodeOf(row: Selectable<Tables['supernodes']>): Supernode {
  return {
    ...(JSON.parse(row.lease) as LeaseRecord),
    id: row.id,
    zone: row.zone,
    isDraining: row.is_draining === 1,
    renewedAt: row.renewed_at,
    expiresAt: row.expires_at,
  }
}
