import type { Clock } from '../core/clock.ts'
import { RateLimiter } from '../net/rate-limiter.ts'
import { TaskLimiter } from '../net/task-limiter.ts'
import type { LimitChange, LimitStatus } from '../wire/local.ts'

type Wish = { rate: number | null }

/** What the host may send and receive in all, and each of its tasks. Everything can be changed while it runs. */
export class PeerLimits {
  readonly upload: RateLimiter
  readonly download: RateLimiter
  readonly #clock: Clock
  readonly #tasks = new Set<TaskLimit>()
  /** Of whoever names none. */
  #local: number | null = null

  /** @param total bytes per second, each for sending and for receiving; null is no limit */
  constructor(total: number | null, clock: Clock) {
    this.#clock = clock
    this.upload = new RateLimiter(total, clock)
    this.download = new RateLimiter(total, clock)
  }

  status(): LimitStatus {
    return { total: this.download.rateBytesPerSecond, local: this.#local }
  }

  /** What is not named stays. A new local limit is also that of every task under way. */
  change({ total, local }: LimitChange): void {
    if (total !== undefined) {
      this.upload.rateBytesPerSecond = total
      this.download.rateBytesPerSecond = total
    }
    if (local === undefined) return
    this.#local = local
    for (const task of this.#tasks) task.overrule(local)
  }

  openTask(): TaskLimit {
    const task = new TaskLimit(new TaskLimiter(this.download, this.#local, this.#clock))
    this.#tasks.add(task)
    return task
  }

  closeTask(task: TaskLimit): void {
    this.#tasks.delete(task)
  }

  /** Somebody waits for the task, who has a limit of their own or takes the usual one. The returned function ends that. */
  join(task: TaskLimit, own: number | null): () => void {
    return task.join(own ?? this.#local)
  }
}

/** The limit of one task. Several may wait for it: it is as fast as the most generous of them allows. */
export class TaskLimit {
  readonly limiter: TaskLimiter
  readonly #wishes = new Set<Wish>()

  constructor(limiter: TaskLimiter) {
    this.limiter = limiter
  }

  join(rate: number | null): () => void {
    const wish = { rate }
    this.#wishes.add(wish)
    this.#apply()
    return () => {
      this.#wishes.delete(wish)
      this.#apply()
    }
  }

  overrule(rate: number | null): void {
    for (const wish of this.#wishes) wish.rate = rate
    this.#apply()
  }

  #apply(): void {
    const rates = [...this.#wishes].map(({ rate }) => rate ?? Number.POSITIVE_INFINITY)
    if (rates.length === 0) return
    const most = Math.max(...rates)
    this.limiter.rateBytesPerSecond = most === Number.POSITIVE_INFINITY ? null : most
  }
}
