import { removeFile } from './disk.ts'
import type { StorePlaces } from './places.ts'
import { readRecord } from './record-file.ts'

/**
 * Removes content that no record names, as a crash between the two leaves it, and records that cannot be read. Only before the store is
 * opened, by the process that owns the places. Content of a task whose record is of an unknown version stays. Returns the number of
 * files removed.
 * @throws DragonflyError DISK_ERROR
 */
export async function sweepOrphans(places: StorePlaces): Promise<number> {
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
  for (const orphan of orphans) await removeFile(orphan)
  return orphans.length
}
