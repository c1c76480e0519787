import type { Kysely } from 'kysely'
import type { Clock } from '../core/clock.ts'
import type { Tables } from './tables.ts'

/** Managing nodes that share a database know each other by leases of their own, so that clients learn all of them from one. */
export class ManagerLeases {
  readonly #kysely: Kysely<Tables>
  readonly #clock: Clock

  constructor(kysely: Kysely<Tables>, clock: Clock) {
    this.#kysely = kysely
    this.#clock = clock
  }

  async renew(url: string, leaseMs: number): Promise<void> {
    const now = this.#clock.wallNow()
    const expires_at = now + leaseMs
    await this.#kysely.deleteFrom('managers').where('expires_at', '<=', now).execute()
    await this.#kysely
      .insertInto('managers')
      .values({ url, expires_at })
      .onConflict(conflict => conflict.column('url').doUpdateSet({ expires_at }))
      .execute()
  }

  async end(url: string): Promise<void> {
    await this.#kysely.deleteFrom('managers').where('url', '=', url).execute()
  }

  /** With the time until which each is taken to be there. */
  async list(): Promise<{ url: string; expires_at: number }[]> {
    return this.#kysely.selectFrom('managers').selectAll().orderBy('url').execute()
  }
}
