import { rename, rm, stat } from 'node:fs/promises'
import { DragonflyError } from '../core/error.ts'
import { type Log, openLog } from '../ops/log.ts'

type Limits = { readonly maxBytes: number; readonly backups: number }

/**
 * A log of which so much is kept: one that is too long by now is put aside first.
 * @throws DragonflyError DISK_ERROR
 */
export async function openKeptLog(file: string, limits: Limits, isVerbose: boolean): Promise<Log> {
  await putLogAside(file, limits).catch(() => {})
  try {
    return openLog(file, isVerbose ? 'debug' : 'info')
  } catch (cause) {
    const { message } = cause as Error
    throw new DragonflyError('DISK_ERROR', `the log ${file} cannot be written: ${message}`, { cause })
  }
}

/** Puts a log that has grown beyond its length aside as `<file>.1`, what was there as `.2`, and drops what is older than `backups` allows. */
export async function putLogAside(file: string, limits: Limits): Promise<void> {
  const size = (await stat(file).catch(() => null))?.size ?? 0
  if (size <= limits.maxBytes) return
  for (let number = limits.backups; number > 1; number--) {
    await rename(`${file}.${number - 1}`, `${file}.${number}`).catch(() => {})
  }
  if (limits.backups > 0) await rename(file, `${file}.1`)
  else await rm(file)
}
