import path from 'node:path'
import type { Generation } from '../core/generation.ts'
import { isTaskId, type TaskId } from '../core/task-id.ts'
import { encodeUtf8, replaceControlCharacters } from '../core/text.ts'
import { listDirectory } from './disk.ts'

/** What a place is made of. `name` may come from a URL and is not trusted. */
type PlacedTask = { readonly taskId: TaskId; readonly name: string; readonly generation: Generation }

/** A file that looks like content of ours, or like a record that was being started. */
type ContentFile = { readonly path: string; readonly taskIdPrefix: string }

/** Where files go. */
export type StorePlaces = {
  /** Directories to create, mode 0700, parents first. Others are created when a task needs them. */
  readonly directories: readonly string[]
  /** The directory that all content lies below. */
  readonly contentRoot: string
  recordPath(taskId: TaskId): string
  /** While downloading. */
  partialPath(task: PlacedTask): string
  /** Once complete; may be the same. */
  sharedPath(task: PlacedTask): string
  /** Task ids that have a record, in no order. */
  recordedTaskIds(): Promise<TaskId[]>
  contentFiles(): Promise<ContentFile[]>
}

const RECORD_SUFFIX = '.jsonl'
const NAME_BYTES_MAX = 150
const SIGN_TASK_DIGITS = 16
const SIGN_GENERATION_DIGITS = 8
const REPO_PREFIX_DIGITS = 3

/**
 * The resident peer's home: `data/<targetFileName>-<sign>` while downloading, `….service` when complete, records in `meta/tasks`. The
 * sign is the first 16 hex digits of the task id, `-`, and the first 8 of the generation.
 */
export function peerPlaces(home: string): StorePlaces {
  const data = path.join(home, 'data')
  const meta = path.join(home, 'meta')
  const records = path.join(meta, 'tasks')
  const partialPath = (task: PlacedTask) => path.join(data, `${safeFileName(task.name)}-${signOf(task)}`)
  return {
    directories: [home, data, meta, records],
    contentRoot: data,
    recordPath: taskId => path.join(records, taskId + RECORD_SUFFIX),
    partialPath,
    sharedPath: task => `${partialPath(task)}.service`,
    recordedTaskIds: () => taskIdsOfRecords(records),
    contentFiles: async () => [
      ...(await filesNamed(data, /-([0-9a-f]{16})-[0-9a-f]{8}(?:\.service(?:\.\d+)?)?$/)),
      ...(await filesNamed(records, /^([0-9a-f]{64})\.jsonl\.new$/)),
    ],
  }
}

/** The supernode's home: `repo/<first 3 hex>/<task id>`, downloading or complete, its record beside it. */
export function repoPlaces(homeDir: string): StorePlaces {
  const repo = path.join(homeDir, 'repo')
  const contentPath = (taskId: TaskId) => path.join(repo, taskId.slice(0, REPO_PREFIX_DIGITS), taskId)
  const folders = async () => {
    const names = await listDirectory(repo)
    return names.filter(name => /^[0-9a-f]{3}$/.test(name)).map(name => path.join(repo, name))
  }
  return {
    directories: [homeDir, repo],
    contentRoot: repo,
    recordPath: taskId => contentPath(taskId) + RECORD_SUFFIX,
    partialPath: task => contentPath(task.taskId),
    sharedPath: task => contentPath(task.taskId),
    async recordedTaskIds() {
      const found = await Promise.all((await folders()).map(taskIdsOfRecords))
      return found.flat()
    },
    async contentFiles() {
      const files: ContentFile[] = []
      for (const folder of await folders()) {
        for (const name of await listDirectory(folder)) {
          if (isTaskId(name)) files.push({ path: path.join(folder, name), taskIdPrefix: name })
        }
      }
      return files
    },
  }
}

/**
 * Makes one path component of any text: no separator, no control character, never `.` or `..` or empty, at most 150 bytes of UTF-8.
 */
export function safeFileName(name: string): string {
  const plain = replaceControlCharacters(name.toWellFormed(), '_').replace(/[/\\]/g, '_')
  let kept = ''
  let keptBytes = 0
  for (const character of plain) {
    keptBytes += encodeUtf8(character).length
    if (keptBytes > NAME_BYTES_MAX) break
    kept += character
  }
  return /^\.{0,2}$/.test(kept) ? '_' : kept
}

function signOf(task: PlacedTask): string {
  return `${task.taskId.slice(0, SIGN_TASK_DIGITS)}-${task.generation.slice(0, SIGN_GENERATION_DIGITS)}`
}

/** `pattern` finds the beginning of the task id in a name. */
async function filesNamed(directory: string, pattern: RegExp): Promise<ContentFile[]> {
  const names = await listDirectory(directory)
  return names.flatMap(name => {
    const match = pattern.exec(name)
    return match ? [{ path: path.join(directory, name), taskIdPrefix: match[1] }] : []
  })
}

async function taskIdsOfRecords(directory: string): Promise<TaskId[]> {
  const names = await listDirectory(directory)
  return names
    .filter(name => name.endsWith(RECORD_SUFFIX))
    .map(name => name.slice(0, -RECORD_SUFFIX.length))
    .filter(isTaskId)
}
