import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { Tables } from './tables.ts'

const NAME = 'cluster-secret'

/** Made by whoever comes first; all who ask, also in other managing nodes, get the same. 64 hex digits. */
export async function clusterSecret(kysely: Kysely<Tables>): Promise<string> {
  await kysely
    .insertInto('settings')
    .values({ name: NAME, value: randomBytes(32).toString('hex') })
    .onConflict(conflict => conflict.column('name').doNothing())
    .execute()
  const { value } = await kysely
    .selectFrom('settings')
    .select('value')
    .where('name', '=', NAME)
    .executeTakeFirstOrThrow()
  return value
}
