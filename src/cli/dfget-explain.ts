import { readFile } from 'node:fs/promises'
import { DragonflyError } from '../core/error.ts'
import { runLogFile } from '../peer/run-log.ts'
import { parseRecords, type RunRecord } from '../peer/run-record.ts'
import { explanationOf, listOf } from './explain-view.ts'
import { nearestName } from './nearest-name.ts'

const LISTED_MAX = 10

/**
 * What `dfget explain` prints, from the account's own records; no peer has to run. `which` is a task id, the beginning of one, `last`, or
 * null for a list of the newest. As JSON: a record, or one on each line.
 * @throws DragonflyError USAGE where nothing of the kind is recorded, DISK_ERROR
 */
export async function explain(
  which: string | null,
  { homeRoot, isJson }: { homeRoot: string; isJson: boolean },
): Promise<string> {
  const file = runLogFile(homeRoot)
  const records = parseRecords(await readRecords(file))
  if (which !== null) {
    const record = pickRecord(which, records, file)
    return isJson ? `${JSON.stringify(record)}\n` : explanationOf(record)
  }
  const newest = records.slice(-LISTED_MAX).toReversed()
  return isJson ? newest.map(record => `${JSON.stringify(record)}\n`).join('') : listOf(newest, file)
}

async function readRecords(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return ''
    throw new DragonflyError('DISK_ERROR', `${file} cannot be read: ${message}`, { cause })
  }
}

/** The newest run of the one task that is meant. */
function pickRecord(which: string, records: readonly RunRecord[], file: string): RunRecord {
  const last = records.at(-1)
  if (last === undefined) throw new DragonflyError('USAGE', `no download is recorded in ${file}`)
  if (which === 'last') return last
  const prefix = which.toLowerCase()
  const ids = [...new Set(records.map(({ taskId }) => taskId))]
  const [id, ...others] = prefix === '' ? [] : ids.filter(taskId => taskId.startsWith(prefix))
  if (id === undefined) {
    // Compared at the same length, for a beginning is far from every whole id.
    const beginnings = ids.map(taskId => taskId.slice(0, Math.max(prefix.length, ID_SHOWN)))
    const nearest = nearestName(prefix, beginnings)
    throw new DragonflyError(
      'USAGE',
      `no download of the task "${which}" is recorded in ${file}; the nearest is ${nearest}`,
    )
  }
  if (others.length > 0) {
    const meant = [id, ...others]
      .slice(0, LISTED_MAX)
      .map(taskId => taskId.slice(0, prefix.length + ID_SHOWN))
    throw new DragonflyError('USAGE', `"${which}" begins the ids of several tasks: ${meant.join(', ')}`)
  }
  return records.findLast(({ taskId }) => taskId === id)!
}

const ID_SHOWN = 8
