import type { Kysely } from 'kysely'
import type { Migration, MigrationProvider } from 'kysely/migration'
import type { DatabaseKind } from './database.ts'

/** The schema's steps by name, in order. One that was released is never changed: what comes next is another. */
export function migrationsFor(kind: DatabaseKind): MigrationProvider {
  return { getMigrations: async () => ({ '0001-membership': membership(kind) }) }
}

function membership(kind: DatabaseKind): Migration {
  return {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('supernodes')
        .addColumn('id', 'text', column => column.primaryKey())
        .addColumn('credential_hash', 'text', column => column.notNull())
        .addColumn('token_id', 'text', column => column.notNull())
        .addColumn('joined_at', 'bigint', column => column.notNull())
        .addColumn('is_draining', 'integer', column => column.notNull())
        .addColumn('renewed_at', 'bigint', column => column.notNull())
        .addColumn('expires_at', 'bigint', column => column.notNull())
        .addColumn('zone', 'text')
        .addColumn('lease', 'text', column => column.notNull())
        .execute()
      await db.schema
        .createTable('tokens')
        .addColumn('id', 'text', column => column.primaryKey())
        .addColumn('kind', 'text', column => column.notNull())
        .addColumn('name', 'text', column => column.notNull())
        .addColumn('secret_hash', 'text', column => column.notNull())
        .addColumn('created_at', 'bigint', column => column.notNull())
        .addColumn('expires_at', 'bigint', column => column.notNull())
        .addColumn('revoked_at', 'bigint')
        .addColumn('uses', 'bigint', column => column.notNull())
        .addColumn('uses_max', 'bigint')
        .execute()
      await db.schema
        .createTable('settings')
        .addColumn('name', 'text', column => column.primaryKey())
        .addColumn('value', 'text', column => column.notNull())
        .execute()
      await db.schema
        .createTable('managers')
        .addColumn('url', 'text', column => column.primaryKey())
        .addColumn('expires_at', 'bigint', column => column.notNull())
        .execute()
      await db.schema
        .createTable('armory_entries')
        .addColumn('id', kind === 'postgres' ? 'bigserial' : 'integer', column =>
          // A number that was given is not given again, so that a page of the list can begin after it.
          kind === 'postgres' ? column.primaryKey() : column.primaryKey().autoIncrement(),
        )
        .addColumn('cidr', 'text')
        .addColumn('host_name', 'text')
        .addColumn('security_domain', 'text')
        .addColumn('idc', 'text')
        .addColumn('location', 'text')
        .addColumn('rack', 'text')
        .execute()
    },
  }
}
