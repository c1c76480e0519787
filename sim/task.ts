import type { TaskId } from '../src/core/task-id.ts'
import type { TaskRequest } from '../src/peer/engine.ts'

/** The one task of every world. */
export const TASK_ID = 'd'.repeat(64) as TaskId

export const REQUEST: TaskRequest = {
  taskId: TASK_ID,
  url: 'http://origin/file',
  headers: [],
  name: 'file',
  tag: '',
  expectedDigest: null,
  range: null,
}
