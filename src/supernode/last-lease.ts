import path from 'node:path'
import * as z from 'zod'
import { toDragonflyError } from '../core/error.ts'
import type { Log } from '../ops/log.ts'
import { readJsonFile, writeJsonFile } from '../store/json-file.ts'
import { type LeaseAnswer, leaseAnswer } from '../wire/manager-api.ts'

const FILE_NAME = 'lease.json'
const VERSION = 1

const fields = leaseAnswer.pick({ zone: true, parents: true, isDraining: true })
const stored = z.object({ version: z.literal(VERSION), ...fields.shape })

/** What of a lease holds beyond it. */
export type Standing = Pick<LeaseAnswer, 'zone' | 'parents' | 'isDraining'>

/** What a managing node said last, for a start while none answers. Deleting the file is always safe; a damaged one counts as absent. */
export class LastLease {
  readonly #file: string
  readonly #log: Log
  #written = ''
  #writing: Promise<void> = Promise.resolve()

  constructor(homeDir: string, log: Log) {
    this.#file = path.join(homeDir, FILE_NAME)
    this.#log = log
  }

  async read(): Promise<Standing | null> {
    const parsed = stored.safeParse(await readJsonFile(this.#file).catch(() => null))
    return parsed.success ? parsed.data : null
  }

  /** In the background; what is known already is not written again. */
  keep({ zone, parents, isDraining }: Standing): void {
    const content = { version: VERSION, zone, parents, isDraining }
    const text = JSON.stringify(content)
    if (text === this.#written) return
    this.#written = text
    this.#writing = this.#writing
      .then(() => writeJsonFile(this.#file, content))
      .catch(thrown => {
        this.#written = ''
        this.#log.warn({ cause: toDragonflyError(thrown).message }, 'what the managing node said is not kept')
      })
  }

  /** Resolves when everything is written. */
  settled(): Promise<void> {
    return this.#writing
  }
}
