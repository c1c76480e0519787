import type { DragonflyError } from '../core/error.ts'
import { redactUrl } from '../core/filter-url.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { Home } from '../peer/home.ts'
import type { DownloadRequest, RunResult } from '../wire/local.ts'
import { STDOUT } from './download-target.ts'
import { followLog } from './log-follower.ts'
import { lastEvent } from './peer-answer.ts'
import { askStartedPeer } from './peer-process.ts'
import { type Patience, persist } from './persistence.ts'
import type { ProgressView } from './progress.ts'
import { prepareOutput, publish } from './publish.ts'
import { hasSameContent } from './same-content.ts'

export type DownloadCommand = Patience & {
  readonly request: DownloadRequest
  /** Absolute, or `STDOUT`. */
  readonly output: string
  /** Whether an output that is complete already is left as it is. */
  readonly isContinued: boolean
  readonly home: Home
  /** For the resident peer, if it has to be started. */
  readonly peerArguments: readonly string[]
  readonly view: ProgressView
  /** Whose lines are shown meanwhile: the resident peer's log, or null. */
  readonly shownLog: string | null
}

/** `isKept`: the output had that very content before, and was not touched. */
type Outcome = RunResult & { readonly isKept: boolean }

/** @throws DragonflyError */
export async function downloadFile(command: DownloadCommand): Promise<Outcome> {
  const { request, view, output } = command
  const stopFollowing = await showLog(
    { ...command, isReserved: request.wantsDigest || output === STDOUT },
    view,
  )
  try {
    return await (output === STDOUT ? streamed(command) : written(command))
  } finally {
    await stopFollowing()
  }
}

/** `isReserved`: standard output is for something else. */
export async function showLog(
  { shownLog, isReserved }: { readonly shownLog: string | null; readonly isReserved?: boolean },
  view: ProgressView,
): Promise<() => Promise<void>> {
  if (shownLog === null) return async () => {}
  const target = isReserved ? process.stderr : process.stdout
  const write = (text: string) => {
    view.clear()
    target.write(text)
  }
  return followLog(shownLog, write, systemClock)
}

async function streamed(command: DownloadCommand): Promise<Outcome> {
  const { streamDownload } = await import('./dfget-stream.ts')
  return { ...(await streamDownload(command, process.stdout)), isKept: false }
}

async function written(command: DownloadCommand): Promise<Outcome> {
  const takeBack = await prepareOutput(command.output)
  try {
    return await persist(command, signal => downloadOnce(command, signal))
  } catch (thrown) {
    await takeBack()
    throw thrown
  }
}

/** Seconds count from here, so that finding the peer and publishing are in. */
async function downloadOnce(command: DownloadCommand, signal: AbortSignal): Promise<Outcome> {
  const { output, view } = command
  const startedAt = systemClock.now()
  const ask = { method: 'POST', path: '/downloads', body: command.request, signal }
  const answer = await askStartedPeer(command.home, command.peerArguments, ask)
  try {
    const result = await lastEvent(answer, ({ progress }) => view.update(progress))
    const isKept = command.isContinued && (await hasSameContent(result.path, output))
    if (!isKept) await publish(result.path, output)
    const seconds = (systemClock.now() - startedAt) / 1000
    const factor = result.boundFactor === null ? null : (result.boundFactor * seconds) / result.seconds
    return { ...result, seconds, boundFactor: factor, isKept }
  } finally {
    answer.destroy()
  }
}

/** The last line of `--json`. */
export function jsonResult(command: DownloadCommand, result: RunResult): string {
  const { taskId, lengthBytes, seconds, digest, bytes, sources, retries, waitMs, boundFactor } = result
  const url = redactUrl(command.request.url)
  return JSON.stringify({
    ok: true,
    url,
    output: command.output,
    taskId,
    lengthBytes,
    seconds: round(seconds),
    digest,
    bytes,
    sources,
    retries,
    waitMs,
    boundFactor: boundFactor === null ? null : round(boundFactor),
  })
}

export function jsonFailure(error: DragonflyError): string {
  const { code, message, hint } = error
  return JSON.stringify({ ok: false, code, message, hint })
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
