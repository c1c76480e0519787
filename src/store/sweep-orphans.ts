import { removeFile, statPath } from './disk.ts'
import type { StorePlaces } from './places.ts'
import { readRecord } from './record-file.ts'

/**
 * Removes content that no record names, as a crash between the two leaves it, and records that cannot be read. Only by the process that
 * owns the places, and while the store is open only what has not changed since `beforeWallMs`, in milliseconds since the Unix epoch,
 * well before anything that is still going on. Content of a task whose record is of an unknown version stays, and so does whatever is
 * no file or link of this account. Returns the number of files removed.
 * @throws DragonflyError DISK_ERROR
 */
export async function sweepOrphans(
  places: StorePlaces,
  beforeWallMs = Number.POSITIVE_INFINITY,
): Promise<number> {
  const contentFiles = await places.contentFiles()
  const named = new Set<string>()
  const foreign: string[] = []
  const orphans: string[] = []
  for (const taskId of await places.recordedTaskIds()) {
    const recordPath = places.recordPath(taskId)
    const stored = await readRecord(recordPath)
    if (stored.kind === 'record') {
      named.add(places.partialPath(stored.record.header))
      named.add(places.sharedPath(stored.record.header))
    }
    if (stored.kind === 'unknown version') foreign.push(taskId)
    if (stored.kind === 'malformed') orphans.push(recordPath)
  }
  for (const file of contentFiles) {
    const isForeign = foreign.some(taskId => taskId.startsWith(file.taskIdPrefix))
    if (!isForeign && !named.has(file.path)) orphans.push(file.path)
  }
  let removed = 0
  for (const orphan of orphans) {
    if (!(await isOurs(orphan, beforeWallMs))) continue
    await removeFile(orphan)
    removed++
  }
  return removed
}

/** A link counts for itself: what it points to is not ours to look at. The change time is the kernel's; nobody can set it. */
async function isOurs(file: string, beforeWallMs: number): Promise<boolean> {
  const stats = await statPath(file)
  if (stats === null || !(stats.isFile() || stats.isSymbolicLink())) return false
  return Number(stats.uid) === process.getuid!() && Number(stats.ctimeMs) <= beforeWallMs
}
