import { Bitmap } from '../core/bitmap.ts'
import type { TaskId } from '../core/task-id.ts'
import type { TaskFile } from '../store/task-file.ts'
import type { TaskStore } from '../store/task-store.ts'
import type { StoredContent } from '../transfer/download-options.ts'

/**
 * What an earlier run left of a task and `mayUse` lets a new one go on from; null if there is none. A complete copy that somebody changed
 * meanwhile is read through again, and only the pieces that still verify count.
 * @throws DragonflyError DISK_FULL, DISK_ERROR, CANCELLED; what `mayUse` throws
 */
export async function openStored(
  store: TaskStore,
  taskId: TaskId,
  mayUse: (file: TaskFile) => boolean | Promise<boolean>,
): Promise<TaskFile | null> {
  let file = await store.open(taskId)
  if (file && !(await file.isUntouched())) {
    await file.close()
    file = await store.open(taskId)
  }
  return file && (await mayUse(file)) ? file : null
}

export function storedContent(file: TaskFile): StoredContent {
  const { generation, validator, layout, held, digests } = file
  return {
    version: { generation, validator, layout },
    held: Bitmap.decode(held.encode(), held.size),
    knownDigests: digests.known(),
  }
}
