import { type FSWatcher, watch } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../../core/clock.ts'
import { DragonflyError, toDragonflyError } from '../../core/error.ts'
import { decodeUtf8 } from '../../core/text.ts'
import type { Log } from '../../ops/log.ts'
import type { HostPlace } from '../../wire/manager-api.ts'
import type { Armory, ArmoryHost, Whereabouts } from './armory.ts'
import { armoryLines } from './armory-lines.ts'
import { compilePlaceTable, type PlaceTable } from './place-table.ts'

type FileArmoryOptions = {
  /** CSV or YAML, by its ending. */
  readonly file: string
  readonly defaultPlace: HostPlace
  readonly clock: Clock
  readonly log: Log
  /** How often the file is looked at even if the system does not say that it changed. */
  readonly pollMs?: number
}

/**
 * Reads the file. Later changes are taken over by themselves; what is wrong with them is logged once, and the last good state stays.
 * @throws DragonflyError CONFIG_INVALID
 */
export async function openFileArmory(options: FileArmoryOptions): Promise<Armory> {
  const fingerprint = await fingerprintOf(options.file)
  const table = await load(options)
  return new FileArmory(options, table, fingerprint)
}

const POLL_MS = 2_000
/** A file that somebody is writing is not read before it has stayed the same for so long. */
const SETTLE_MS = 100
const FILE_BYTES_MAX = 256 * 1024 ** 2

class FileArmory implements Armory {
  readonly #options: FileArmoryOptions
  #table: PlaceTable
  /** Of the state that was read last, good or bad, so that each is read and complained about once. */
  #fingerprint: string
  /** As the last look saw it. */
  #seen: string
  readonly #watcher: FSWatcher | null
  #cancelLook = () => {}
  #lookDueMs = Number.POSITIVE_INFINITY
  #isLooking = false
  #isClosed = false

  constructor(options: FileArmoryOptions, table: PlaceTable, fingerprint: string) {
    this.#options = options
    this.#table = table
    this.#fingerprint = fingerprint
    this.#seen = fingerprint
    this.#watcher = watchFolder(options.file, () => this.#lookIn(SETTLE_MS))
    this.#lookIn(this.#pollMs)
  }

  async where(host: ArmoryHost): Promise<Whereabouts> {
    const place = this.#table.find(host)
    return { place: place ?? this.#options.defaultPlace, isKnown: place !== null }
  }

  close(): void {
    this.#isClosed = true
    this.#cancelLook()
    this.#watcher?.close()
  }

  get #pollMs(): number {
    return this.#options.pollMs ?? POLL_MS
  }

  #lookIn(delayMs: number): void {
    const { clock } = this.#options
    // Events that come while the file is read are seen by the look behind it; in a busy folder none puts off what is due.
    if (this.#isClosed || this.#isLooking || this.#lookDueMs <= clock.now() + delayMs) return
    this.#cancelLook()
    this.#lookDueMs = clock.now() + delayMs
    this.#cancelLook = clock.schedule(delayMs, () => void this.#look())
  }

  async #look(): Promise<void> {
    this.#isLooking = true
    this.#lookDueMs = Number.POSITIVE_INFINITY
    const fingerprint = await fingerprintOf(this.#options.file)
    const isChanged = fingerprint !== this.#fingerprint
    const isSettled = fingerprint === this.#seen
    this.#seen = fingerprint
    if (isChanged && isSettled && !this.#isClosed) {
      this.#fingerprint = fingerprint
      await this.#reload()
    }
    this.#isLooking = false
    this.#lookIn(isChanged ? SETTLE_MS : this.#pollMs)
  }

  async #reload(): Promise<void> {
    const { file, log } = this.#options
    try {
      const table = await load(this.#options)
      if (!this.#isClosed) this.#table = table
    } catch (thrown) {
      const { code, message } = toDragonflyError(thrown)
      log.error({ file, code, reason: message }, 'armory file refused, the last good state stays in use')
    }
  }
}

async function load({ file, clock, log }: FileArmoryOptions): Promise<PlaceTable> {
  const startedMs = clock.now()
  const { table, problem } = await compilePlaceTable(armoryLines(file, await readText(file)), clock)
  if (problem !== null) throw invalid(`the armory file ${file} is not valid: ${problem}`)
  const durationMs = Math.round(clock.now() - startedMs)
  log.info({ file, lines: table.size, durationMs }, 'armory file loaded')
  return table
}

async function readText(file: string): Promise<string> {
  let bytes: Uint8Array
  try {
    const { size } = await stat(file)
    if (size > FILE_BYTES_MAX) throw invalid(`the armory file ${file} has more than ${FILE_BYTES_MAX} bytes`)
    bytes = await readFile(file)
  } catch (thrown) {
    if (thrown instanceof DragonflyError) throw thrown
    throw invalid(`the armory file ${file} cannot be read: ${(thrown as Error).message}`, thrown)
  }
  try {
    return decodeUtf8(bytes)
  } catch (thrown) {
    throw invalid(`the armory file ${file} is not valid: it is not UTF-8`, thrown)
  }
}

function invalid(message: string, cause?: unknown): DragonflyError {
  return new DragonflyError('CONFIG_INVALID', message, { cause })
}

/** Tells states of the file apart: a file that was renamed into place has another inode, one that was written another time. */
async function fingerprintOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch (thrown) {
    return `none: ${(thrown as NodeJS.ErrnoException).code}`
  }
}

/** Its folder, for a file that is replaced takes a watch on it away. Null where the system has no watches left: the file is polled. */
function watchFolder(file: string, onEvent: () => void): FSWatcher | null {
  try {
    const watcher = watch(dirname(file), { persistent: false }, onEvent)
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return null
  }
}
