import type { DragonflyError } from '../core/error.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { Home } from '../peer/home.ts'
import type { DownloadRequest, RunResult } from '../wire/local.ts'
import { STDOUT } from './download-target.ts'
import { followLog } from './log-follower.ts'
import { lastEvent } from './peer-answer.ts'
import { askStartedPeer, type PeerStart } from './peer-process.ts'
import { type Patience, persist } from './persistence.ts'
import type { ProgressView } from './progress.ts'
import { prepareOutput, publish } from './publish.ts'
import { hasSameContent } from './same-content.ts'
import { shownUrl } from './shown-url.ts'

export type DownloadCommand = Patience & {
  readonly request: DownloadRequest
  /** Absolute, or `STDOUT`. */
  readonly output: string
  /** False where somebody else has chosen the output's name. */
  readonly mayReplace: boolean
  /** Whether an output that is complete already is left as it is. */
  readonly isContinued: boolean
  readonly home: Home
  readonly peerStart: PeerStart
  readonly view: ProgressView
  readonly shownLog: ShownLog | null
}

/** The resident peer's log, and where its lines are shown meanwhile. */
export type ShownLog = { readonly file: string; readonly target: NodeJS.WriteStream }

/** `isKept`: the output had that very content before, and was not touched. */
type Outcome = RunResult & { readonly isKept: boolean }

/** @throws DragonflyError */
export async function downloadFile(command: DownloadCommand): Promise<Outcome> {
  const stopFollowing = await showLog(command.shownLog, command.view)
  try {
    return await (command.output === STDOUT ? streamed(command) : written(command))
  } finally {
    await stopFollowing()
  }
}

export async function showLog(shown: ShownLog | null, view: ProgressView): Promise<() => Promise<void>> {
  if (shown === null) return async () => {}
  const write = (text: string) => {
    view.clear()
    shown.target.write(text)
  }
  return followLog(shown.file, write, systemClock)
}

async function streamed(command: DownloadCommand): Promise<Outcome> {
  const { streamDownload } = await import('./dfget-stream.ts')
  return { ...(await streamDownload(command, process.stdout)), isKept: false }
}

async function written(command: DownloadCommand): Promise<Outcome> {
  const takeBack = await prepareOutput(command.output)
  try {
    return await persist(command, () => downloadOnce(command))
  } catch (thrown) {
    await takeBack()
    throw thrown
  }
}

/** Seconds count from here, so that finding the peer and publishing are in. */
async function downloadOnce(command: DownloadCommand): Promise<Outcome> {
  const { output, view, signal } = command
  const startedAt = systemClock.now()
  const ask = { method: 'POST', path: '/downloads', body: command.request, signal }
  const answer = await askStartedPeer(command.home, command.peerStart, ask)
  try {
    const result = await lastEvent(answer, ({ progress }) => view.update(progress))
    const isKept = command.isContinued && (await hasSameContent([result.path, output], signal))
    if (!isKept) await publish(result.path, output, command)
    const seconds = (systemClock.now() - startedAt) / 1000
    const factor = result.boundFactor === null ? null : (result.boundFactor * seconds) / result.seconds
    return { ...result, seconds, boundFactor: factor, isKept }
  } finally {
    answer.destroy()
  }
}

/** What `--json` says. */
export function resultFacts(command: DownloadCommand, result: RunResult) {
  const { taskId, lengthBytes, seconds, digest, bytes, sources, retries, waitMs, boundFactor } = result
  const { url, filter = [] } = command.request
  return {
    ok: true,
    url: shownUrl(url, filter),
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
  }
}

export function failureFacts({ code, message, hint }: DragonflyError) {
  return { ok: false, code, message, hint }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
