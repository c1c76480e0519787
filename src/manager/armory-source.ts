import type { Clock } from '../core/clock.ts'
import type { Log } from '../ops/log.ts'
import { userAgentOf } from '../ops/version.ts'
import { createOrigins } from '../origin/origin.ts'
import type { HostPlace } from '../wire/manager-api.ts'
import type { Armory } from './armory/armory.ts'
import { openDatabaseArmory } from './armory/database-armory.ts'
import { openFileArmory } from './armory/file-armory.ts'
import { createHttpArmory } from './armory/http-armory.ts'
import type { ArmoryEntries } from './armory-entries.ts'

/** Where the armory's lines come from. */
export type ArmorySource =
  /** Nobody knows any host. */
  | { readonly kind: 'none' }
  | { readonly kind: 'file'; readonly file: string }
  /** With `{hostName}` and `{address}`. */
  | { readonly kind: 'http'; readonly urlTemplate: string }
  | { readonly kind: 'database' }

/** `refresh` resolves when what was in the database at its call is in use. */
export type OpenArmory = Armory & { refresh(): Promise<void> }

type ArmoryContext = {
  readonly entries: ArmoryEntries
  /** Of hosts that the source does not know. */
  readonly defaultPlace: HostPlace
  readonly clock: Clock
  readonly log: Log
}

/** A service in the same network; a client waits for it at its first contact. */
const SERVICE_TIMEOUTS = { connectMs: 1_000, headMs: 1_000, idleMs: 1_000 }

/** @throws DragonflyError CONFIG_INVALID, DATABASE_FAILED */
export async function openArmory(source: ArmorySource, context: ArmoryContext): Promise<OpenArmory> {
  const { entries, ...options } = context
  const { defaultPlace, clock } = options
  switch (source.kind) {
    case 'none':
      return withoutRefresh({ where: async () => ({ place: defaultPlace, isKnown: false }), close() {} })
    case 'file':
      return withoutRefresh(await openFileArmory({ ...options, file: source.file }))
    case 'http': {
      const origin = createOrigins({ clock, timeouts: SERVICE_TIMEOUTS, userAgent: userAgentOf('manager') })
      return withoutRefresh(createHttpArmory({ ...options, urlTemplate: source.urlTemplate, origin }))
    }
    case 'database':
      return openDatabaseArmory({
        ...options,
        entries: () => entries.all(),
        revision: () => entries.revision(),
      })
  }
}

/** What is in the database does not matter to it. */
function withoutRefresh(armory: Armory): OpenArmory {
  return { where: host => armory.where(host), close: () => armory.close(), refresh: async () => {} }
}
