import type { DatabaseConnection, Dialect, Driver } from 'kysely'
import { DragonflyError } from '../core/error.ts'

/** The dialect with all that its driver throws as DATABASE_FAILED, so that nobody else need know either database's errors. */
export function withDatabaseErrors(dialect: Dialect): Dialect {
  return {
    createAdapter: () => dialect.createAdapter(),
    createIntrospector: kysely => dialect.createIntrospector(kysely),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createDriver: () => translating(dialect.createDriver()),
  }
}

/** In place: the driver knows its connections by their identity. */
function translating(driver: Driver): Driver {
  const acquire = driver.acquireConnection.bind(driver)
  const seen = new WeakSet<DatabaseConnection>()
  driver.acquireConnection = async options => {
    const connection = await acquire(options).catch(fail)
    if (seen.has(connection)) return connection
    seen.add(connection)
    const execute = connection.executeQuery.bind(connection)
    connection.executeQuery = (query, options) => execute<never>(query, options).catch(fail)
    return connection
  }
  return driver
}

/** The reason names tables and constraints, and is for the log; clients are not told. */
function fail(thrown: unknown): never {
  const { code, message } = thrown as { code?: unknown; message?: unknown }
  // Of a host with several addresses that were tried in vain, the message is empty.
  const reason = typeof message === 'string' && message !== '' ? message : String(code ?? 'unknown')
  throw new DragonflyError('DATABASE_FAILED', reason)
}
