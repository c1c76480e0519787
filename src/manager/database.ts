import { closeSync, openSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import SqliteFile from 'better-sqlite3'
import { Kysely, PostgresDialect, SqliteDialect } from 'kysely'
import { Migrator } from 'kysely/migration'
import pg from 'pg'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import type { Log } from '../ops/log.ts'
import { withDatabaseErrors } from './database-errors.ts'
import { migrationsFor } from './migrations.ts'
import type { Tables } from './tables.ts'

/** Where the managing node keeps what must outlive it: a file of its own, or a PostgreSQL that several managing nodes share. */
export type DatabaseLocation =
  | { readonly kind: 'sqlite'; readonly file: string }
  | { readonly kind: 'postgres'; readonly url: string }

export type DatabaseKind = DatabaseLocation['kind']

export type Database = {
  readonly kind: DatabaseKind
  readonly kysely: Kysely<Tables>
  close(): Promise<void>
}

/** Another process may be writing: the command `manager token`, or a second managing node at its start. */
const BUSY_MS = 5_000
const CONNECTIONS = 10
/** Nobody waits longer for PostgreSQL, be it for a connection or for an answer. */
const PATIENCE_MS = 5_000
/** The first of several managing nodes migrates while the others wait. */
const MIGRATION_MS = 60_000

/** @throws DragonflyError DATABASE_FAILED */
export async function openDatabase(location: DatabaseLocation, log: Log): Promise<Database> {
  try {
    return location.kind === 'sqlite'
      ? await openSqlite(location.file)
      : await openPostgres(location.url, log)
  } catch (thrown) {
    const { message } = toDragonflyError(thrown)
    throw new DragonflyError('DATABASE_FAILED', `${describeDatabase(location)} cannot be used: ${message}`)
  }
}

/** For people and logs: without a password, and without parameters, one of which may be a password. */
export function describeDatabase(location: DatabaseLocation): string {
  if (location.kind === 'sqlite') return location.file
  const url = URL.parse(location.url)
  if (url === null) return 'the PostgreSQL database'
  return `postgres://${url.host}${url.pathname}`
}

async function openSqlite(file: string): Promise<Database> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  // It holds the cluster's secret; SQLite gives its other files the permissions of this one.
  closeSync(openSync(file, 'a', 0o600))
  const native = new SqliteFile(file, { timeout: BUSY_MS })
  native.pragma('journal_mode = WAL')
  native.pragma('synchronous = NORMAL')
  const kysely = new Kysely<Tables>({ dialect: withDatabaseErrors(new SqliteDialect({ database: native })) })
  try {
    // Kysely takes no lock for SQLite, and two processes may start at the same time.
    native.exec('begin immediate')
    await migrate(kysely, 'sqlite')
    native.exec('commit')
  } catch (thrown) {
    await kysely.destroy()
    throw thrown
  }
  return { kind: 'sqlite', kysely, close: () => kysely.destroy() }
}

async function openPostgres(url: string, log: Log): Promise<Database> {
  // With its own patience, and gone when the schema is as it should be. Kysely holds an advisory lock meanwhile.
  const first = connect(url, { connections: 1, patienceMs: MIGRATION_MS, log })
  try {
    await migrate(first, 'postgres')
  } finally {
    await first.destroy()
  }
  const kysely = connect(url, { connections: CONNECTIONS, patienceMs: PATIENCE_MS, log })
  return { kind: 'postgres', kysely, close: () => kysely.destroy() }
}

function connect(
  url: string,
  { connections, patienceMs, log }: { connections: number; patienceMs: number; log: Log },
): Kysely<Tables> {
  const pool = new pg.Pool({
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: PATIENCE_MS,
    query_timeout: patienceMs,
    application_name: 'dragonfly-manager',
    keepAlive: true,
    types: { getTypeParser: bigintsAsNumbers },
  })
  // An idle connection that breaks is replaced at the next question; without a listener it would end the process.
  pool.on('error', (error: Error & { code?: string }) =>
    log.warn({ code: error.code ?? null }, 'database connection lost'),
  )
  return new Kysely<Tables>({ dialect: withDatabaseErrors(new PostgresDialect({ pool })) })
}

/** All that we keep as `bigint` is below 2^53. */
const bigintsAsNumbers = ((oid: number, format?: 'text') =>
  oid === pg.types.builtins.INT8
    ? Number
    : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser

async function migrate(kysely: Kysely<Tables>, kind: DatabaseKind): Promise<void> {
  const migrator = new Migrator({ db: kysely, provider: migrationsFor(kind) })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
}
