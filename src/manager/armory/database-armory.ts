import type { Clock } from '../../core/clock.ts'
import { toDragonflyError } from '../../core/error.ts'
import type { Log } from '../../ops/log.ts'
import type { ArmoryEntry, HostPlace } from '../../wire/manager-api.ts'
import { Refresher } from '../refresher.ts'
import type { Armory, ArmoryHost, Whereabouts } from './armory.ts'
import { type ArmoryLine, compilePlaceTable, type PlaceTable } from './place-table.ts'

type DatabaseArmoryOptions = {
  /** All of them, in the order of their making. */
  entries(): Promise<readonly ArmoryEntry[]>
  /** Another one after each change of the entries, by whichever manager. */
  revision(): Promise<number | string>
  readonly defaultPlace: HostPlace
  readonly clock: Clock
  readonly log: Log
}

/** `refresh` resolves when what was in the database at its call is in use; whoever changes entries calls it. It does not reject. */
type DatabaseArmory = Armory & { refresh(): Promise<void> }

/**
 * Entries that contradict others are left out and logged, so that a manager starts and they can be corrected through it.
 * @throws what `entries` and `revision` throw
 */
export async function openDatabaseArmory(options: DatabaseArmoryOptions): Promise<DatabaseArmory> {
  const armory = new EntriesArmory(options)
  await armory.start()
  return armory
}

const REFRESH_MS = 2_000

class EntriesArmory implements DatabaseArmory {
  readonly #options: DatabaseArmoryOptions
  #table: PlaceTable | null = null
  #revision: number | string | null = null
  #hasFailed = false
  readonly #refresher: Refresher

  constructor(options: DatabaseArmoryOptions) {
    this.#options = options
    this.#refresher = new Refresher({
      load: () => this.#tryLoad(),
      everyMs: REFRESH_MS,
      clock: options.clock,
    })
  }

  async start(): Promise<void> {
    await this.#load()
    this.#refresher.start()
  }

  async where(host: ArmoryHost): Promise<Whereabouts> {
    const place = this.#table?.find(host) ?? null
    return { place: place ?? this.#options.defaultPlace, isKnown: place !== null }
  }

  refresh(): Promise<void> {
    return this.#refresher.refresh()
  }

  close(): void {
    void this.#refresher.stop()
  }

  async #tryLoad(): Promise<void> {
    try {
      await this.#load()
      if (this.#hasFailed) this.#options.log.info({}, 'armory entries can be read again')
      this.#hasFailed = false
    } catch (thrown) {
      const { code, message } = toDragonflyError(thrown)
      if (!this.#hasFailed && !this.#refresher.isStopped)
        this.#options.log.error(
          { code, reason: message },
          'armory entries cannot be read, the last good state stays in use',
        )
      this.#hasFailed = true
    }
  }

  async #load(): Promise<void> {
    const { entries, revision, clock, log } = this.#options
    // Before the entries: those may be newer than their revision then, and are read once more, but never older.
    const current = await revision()
    if (current === this.#revision) return
    const { table, problem } = await compilePlaceTable(linesOf(await entries()), clock)
    if (problem !== null) log.error({ reason: problem }, 'armory entries refused, the others are in use')
    this.#table = table
    this.#revision = current
  }
}

function* linesOf(entries: readonly ArmoryEntry[]): Generator<ArmoryLine> {
  for (const [index, entry] of entries.entries()) yield { line: index + 1, entry }
}
