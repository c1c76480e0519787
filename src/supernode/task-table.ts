import type { Clock } from '../core/clock.ts'
import type { TaskId } from '../core/task-id.ts'
import type { SwarmTask } from './swarm-task.ts'

const IDLE_TASK_MS = 60_000

/** The tasks in memory. Those that nobody is a member of are let go; their content stays on disk. */
export class TaskTable {
  readonly #clock: Clock
  readonly #make: (taskId: TaskId, isNamedByDigest: boolean) => SwarmTask
  readonly #tasks = new Map<TaskId, SwarmTask>()
  #cancelSweep = () => {}

  /** @param make by the task's id, and by whether its announce names a digest, which is part of the id */
  constructor(clock: Clock, make: (taskId: TaskId, isNamedByDigest: boolean) => SwarmTask) {
    this.#clock = clock
    this.#make = make
  }

  get count(): number {
    return this.#tasks.size
  }

  all(): SwarmTask[] {
    return [...this.#tasks.values()]
  }

  find(taskId: TaskId): SwarmTask | undefined {
    return this.#tasks.get(taskId)
  }

  add(taskId: TaskId, isNamedByDigest: boolean): SwarmTask {
    const task = this.#make(taskId, isNamedByDigest)
    this.#tasks.set(taskId, task)
    return task
  }

  beginSweeping(idleBefore = new Set<SwarmTask>()): void {
    this.#cancelSweep = this.#clock.schedule(IDLE_TASK_MS, () => {
      const idle = new Set(this.all().filter(task => task.isIdle))
      for (const task of idle) {
        if (!idleBefore.has(task)) continue
        this.#tasks.delete(task.taskId)
        void task.close()
      }
      this.beginSweeping(idle)
    })
  }

  async close(): Promise<void> {
    this.#cancelSweep()
    await Promise.all(this.all().map(task => task.close()))
  }
}
