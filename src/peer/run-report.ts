import type { Digest } from '../core/digest.ts'
import type { TaskId } from '../core/task-id.ts'
import type { Download } from '../transfer/download.ts'
import { type RunResult, type RunSnapshot, totalBytes } from '../wire/local.ts'
import { boundFactor } from './bound-factor.ts'

/** What a run tells the command that waits for it. */

export function snapshotOf(
  machine: Download,
  what: { taskId: TaskId; node: string | null; rateBytesPerSecond: number },
): RunSnapshot {
  const { bytes, content, phase, waits } = machine
  return {
    ...what,
    phase,
    lengthBytes: content.version?.layout.lengthBytes ?? null,
    heldBytes: totalBytes(bytes),
    bytes: { ...bytes },
    waiting: waits.reason,
  }
}

/** Of a complete run. Times in milliseconds, `bestRate` in bytes per second. */
export function resultOf(
  machine: Download,
  what: { taskId: TaskId; node: string | null; path: string; digest: Digest | null },
  { now, startedAt, bestRate }: { now: number; startedAt: number; bestRate: number },
): RunResult {
  const seconds = (now - startedAt) / 1000
  return {
    ...what,
    lengthBytes: machine.content.version!.layout.lengthBytes!,
    seconds,
    bytes: { ...machine.bytes },
    sources: machine.usedSources.size,
    retries: machine.retries,
    waitMs: machine.waits.totals(),
    boundFactor: boundFactor(machine, { seconds, rateBytesPerSecond: bestRate }),
  }
}
