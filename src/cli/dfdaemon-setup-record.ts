import { createHash } from 'node:crypto'
import * as z from 'zod'
import { DragonflyError } from '../core/error.ts'
import { parseDaemonAddress } from '../dfdaemon/runtimes/daemon-address.ts'
import type { PresentFiles, RuntimeSetup, SetupRequest } from '../dfdaemon/runtimes/runtime-setup.ts'
import type { SetupFiles } from './dfdaemon-setup-files.ts'

/**
 * Putting a runtime's files in place, and taking that back. A record says what was written for which request, a backup what a file was before.
 * The record is written before everything and removed after everything, so that whatever happened in between can be taken back.
 */

const recordSchema = z.strictObject({
  daemon: z.string(),
  registries: z.array(z.string()),
  usesProxy: z.boolean(),
  /** SHA-256 of what a file was before us, null where there was none, and of what we wrote. */
  files: z.array(
    z.strictObject({ path: z.string().startsWith('/'), before: z.string().nullable(), after: z.string() }),
  ),
  /** Which we made, the outermost first. */
  directories: z.array(z.string().startsWith('/')),
})

type SetupRecord = z.infer<typeof recordSchema>

/** How one file goes back. */
export type Step = {
  readonly path: string
  readonly how: 'as it was' | 'removed' | 'edited' | 'left' | 'gone'
  /** What it is then; null where there is none. */
  readonly text: string | null
}

export const BACKUP = '.dragonfly-backup'
const RECORDS = '/etc/dragonfly/setup'

/** @throws DragonflyError CONFIG_INVALID */
export function readRecord(files: SetupFiles, runtime: string): SetupRecord | null {
  const path = recordPath(runtime)
  const text = files.read(path)
  if (text === null) return null
  try {
    return recordSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new DragonflyError('CONFIG_INVALID', `${path} is no record of this command`, { cause })
  }
}

export function isForRequest(record: SetupRecord, request: SetupRequest): boolean {
  const { daemon, registries, usesProxy } = factsOf(request)
  return (
    record.daemon === daemon &&
    record.usesProxy === usesProxy &&
    JSON.stringify(record.registries) === JSON.stringify(registries)
  )
}

/** The files as they are without us. @throws DragonflyError CONFIG_INVALID */
export function filesWithoutUs(files: SetupFiles, steps: readonly Step[]): PresentFiles {
  const texts = new Map(steps.map(({ path, text }) => [path, text]))
  return {
    read: path => (texts.has(path) ? texts.get(path)! : files.read(path)),
    list: pattern => files.list(pattern).filter(path => texts.get(path) !== null),
  }
}

/** How everything would go back. @throws DragonflyError CONFIG_INVALID where a file was edited since and cannot be read */
export function stepsBack(files: SetupFiles, runtime: RuntimeSetup, record: SetupRecord): Step[] {
  const daemon = parseDaemonAddress(record.daemon)
  return record.files.map(({ path, before, after }) => {
    const text = files.read(path)
    if (text === null) return { path, how: before === null ? 'removed' : 'gone', text }
    const kept = files.read(path + BACKUP)
    const isKept = kept !== null && digestOf(kept) === before
    if (digestOf(text) === before) return { path, how: 'left', text }
    if (digestOf(text) === after && before === null) return { path, how: 'removed', text: null }
    if (digestOf(text) === after && isKept) return { path, how: 'as it was', text: kept }
    const rest = runtime.without({ path, text, before: before === null ? null : (kept ?? '') }, daemon)
    if (rest === null && before === null) return { path, how: 'removed', text: null }
    return { path, how: 'edited', text: rest ?? '' }
  })
}

export function takeBack(
  files: SetupFiles,
  runtime: RuntimeSetup,
  record: SetupRecord,
  steps: readonly Step[],
): void {
  for (const { path, how, text } of steps) {
    if (how === 'as it was') files.move(path + BACKUP, path)
    else if (how === 'removed') files.remove(path)
    else if (how === 'edited' && text !== files.read(path)) files.write(path, text!)
    if (how === 'edited' || how === 'left') files.remove(path + BACKUP)
  }
  files.remove(recordPath(runtime.name))
  // Another runtime's record may have been the first in it, or may be there still.
  const directories = new Set([RECORDS, ...record.directories.toReversed()])
  for (const directory of directories) files.removeDirectory(directory)
}

/**
 * Takes the former request back first, if there was one. Where it cannot write everything, it leaves nothing.
 * @throws DragonflyError CONFIG_INVALID, OUTPUT_INVALID, DISK_FULL
 */
export function putInPlace(order: {
  files: SetupFiles
  runtime: RuntimeSetup
  request: SetupRequest
  texts: ReadonlyMap<string, string>
  former: { record: SetupRecord; steps: readonly Step[] } | null
}): { paths: readonly string[]; backups: readonly string[] } {
  const { files, runtime, request, texts, former } = order
  checkBackups(files, [...texts.keys()], former?.record ?? null)
  if (former) takeBack(files, runtime, former.record, former.steps)
  const record = recordOf(files, runtime, request, texts)
  try {
    makeDirectories(files, recordPath(runtime.name))
    files.write(recordPath(runtime.name), `${JSON.stringify(record, null, 2)}\n`)
    for (const { path, before } of record.files) {
      makeDirectories(files, path)
      if (before !== null) files.copy(path, path + BACKUP)
      files.write(path, texts.get(path)!)
    }
  } catch (thrown) {
    takeBack(files, runtime, record, stepsBack(files, runtime, record))
    throw thrown
  }
  return {
    paths: record.files.map(({ path }) => path),
    backups: record.files.filter(({ before }) => before !== null).map(({ path }) => path),
  }
}

/** One that is not ours is somebody's only copy, perhaps. */
function checkBackups(files: SetupFiles, paths: readonly string[], former: SetupRecord | null): void {
  const ours = former?.files.map(({ path }) => path) ?? []
  const foreign = paths.find(path => !ours.includes(path) && files.has(path + BACKUP))
  if (foreign === undefined) return
  throw new DragonflyError(
    'CONFIG_INVALID',
    `${foreign}${BACKUP} is in the way: look at it, and move it elsewhere`,
  )
}

function recordOf(
  files: SetupFiles,
  runtime: RuntimeSetup,
  request: SetupRequest,
  texts: ReadonlyMap<string, string>,
): SetupRecord {
  const paths = [recordPath(runtime.name), ...texts.keys()]
  return {
    ...factsOf(request),
    files: [...texts].map(([path, text]) => {
      const before = files.read(path)
      return { path, before: before === null ? null : digestOf(before), after: digestOf(text) }
    }),
    directories: [...new Set(paths.flatMap(path => files.missingDirectories(path)))],
  }
}

function makeDirectories(files: SetupFiles, path: string): void {
  for (const directory of files.missingDirectories(path)) files.makeDirectory(directory)
}

function factsOf({
  daemon,
  registries,
  usesProxy,
}: SetupRequest): Pick<SetupRecord, 'daemon' | 'registries' | 'usesProxy'> {
  return { daemon: daemon.url, registries: registries.map(({ name, server }) => server ?? name), usesProxy }
}

function recordPath(runtime: string): string {
  return `${RECORDS}/${runtime}.json`
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
