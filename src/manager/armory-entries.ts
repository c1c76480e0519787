import { type Kysely, type Selectable, sql } from 'kysely'
import { DragonflyError } from '../core/error.ts'
import type { ArmoryEntry } from '../wire/manager-api.ts'
import { ARMORY_LINES_MAX } from './armory/place-table.ts'
import type { Tables } from './tables.ts'

type StoredEntry = { readonly id: number; readonly entry: ArmoryEntry }

const PAGE = 1_000
/** Of the settings: how often the entries were changed. */
const REVISION = 'armory-revision'

/** The armory's lines that are edited by API. */
export class ArmoryEntries {
  readonly #kysely: Kysely<Tables>

  constructor(kysely: Kysely<Tables>) {
    this.#kysely = kysely
  }

  /** Another one after each change, by whichever managing node. */
  async revision(): Promise<string> {
    const row = await this.#kysely
      .selectFrom('settings')
      .select('value')
      .where('name', '=', REVISION)
      .executeTakeFirst()
    return row?.value ?? ''
  }

  /** All of them, in the order of their making. */
  async all(): Promise<ArmoryEntry[]> {
    const rows = await this.#kysely.selectFrom('armory_entries').selectAll().orderBy('id').execute()
    return rows.map(row => storedOf(row).entry)
  }

  /** Those after the number `after`, a thousand at most; `next` is null where no more follow. */
  async page(after: number): Promise<{ entries: StoredEntry[]; next: number | null }> {
    const rows = await this.#kysely
      .selectFrom('armory_entries')
      .selectAll()
      .where('id', '>', after)
      .orderBy('id')
      .limit(PAGE + 1)
      .execute()
    const entries = rows.slice(0, PAGE).map(storedOf)
    return { entries, next: rows.length > PAGE ? entries[PAGE - 1].id : null }
  }

  /** @throws DragonflyError MANAGER_OVERLOADED */
  add(entries: readonly ArmoryEntry[]): Promise<StoredEntry[]> {
    return this.#change(async kysely => {
      const { count } = await kysely
        .selectFrom('armory_entries')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow()
      if (count + entries.length > ARMORY_LINES_MAX)
        throw new DragonflyError(
          'MANAGER_OVERLOADED',
          `the armory has no more than ${ARMORY_LINES_MAX} entries`,
        )
      const rows = await kysely
        .insertInto('armory_entries')
        .values(entries.map(rowOf))
        .returningAll()
        .execute()
      return rows.map(storedOf).sort((a, b) => a.id - b.id)
    })
  }

  /** Null where there is none of this number. */
  replace(id: number, entry: ArmoryEntry): Promise<StoredEntry | null> {
    return this.#change(async kysely => {
      const row = await kysely
        .updateTable('armory_entries')
        .set(rowOf(entry))
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirst()
      return row === undefined ? null : storedOf(row)
    })
  }

  /** False where there is none of this number. */
  remove(id: number): Promise<boolean> {
    return this.#change(async kysely => {
      const removed = await kysely.deleteFrom('armory_entries').where('id', '=', id).executeTakeFirst()
      return removed.numDeletedRows > 0n
    })
  }

  /** With a revision of its own, which is first: those who change the entries at the same time do so one after another. */
  #change<T>(change: (kysely: Kysely<Tables>) => Promise<T>): Promise<T> {
    return this.#kysely.transaction().execute(async transaction => {
      await transaction
        .insertInto('settings')
        .values({ name: REVISION, value: '1' })
        .onConflict(conflict =>
          conflict
            .column('name')
            .doUpdateSet({ value: sql<string>`cast(cast(settings.value as bigint) + 1 as text)` }),
        )
        .execute()
      return change(transaction)
    })
  }
}

function rowOf({ cidr, hostName, securityDomain, idc, location, rack }: ArmoryEntry) {
  return { cidr, host_name: hostName, security_domain: securityDomain, idc, location, rack }
}

function storedOf(row: Selectable<Tables['armory_entries']>): StoredEntry {
  const { id, cidr, host_name, security_domain, idc, location, rack } = row
  return { id, entry: { cidr, hostName: host_name, securityDomain: security_domain, idc, location, rack } }
}
