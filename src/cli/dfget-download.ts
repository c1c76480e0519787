import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Digest } from '../core/digest.ts'
import { DragonflyError, isErrorCode } from '../core/error.ts'
import { redactUrl } from '../core/filter-url.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { Home } from '../peer/home.ts'
import type { DownloadRequest, LocalEvent, RunResult } from '../wire/local.ts'
import { askStartedPeer, type PeerFlags } from './peer-process.ts'
import type { ProgressView } from './progress.ts'
import { prepareOutput, publish } from './publish.ts'

export type DownloadCommand = {
  readonly url: string
  /** Absolute. */
  readonly output: string
  readonly headers: readonly [string, string][]
  readonly digest: Digest | null
  readonly wantsDigest: boolean
  readonly nodes: readonly string[]
  readonly home: Home
  readonly peerFlags: PeerFlags
  readonly view: ProgressView
  readonly signal: AbortSignal
}

/** A peer that is killed in the middle is started again; what it had verified is still there. */
const PEER_TRIES = 3

/** @throws DragonflyError */
export async function downloadFile(command: DownloadCommand): Promise<RunResult> {
  const takeBack = await prepareOutput(command.output)
  try {
    return await downloadStubbornly(command)
  } catch (thrown) {
    await takeBack()
    throw thrown
  }
}

async function downloadStubbornly(command: DownloadCommand): Promise<RunResult> {
  for (let tries = 1; ; tries++) {
    try {
      return await downloadOnce(command)
    } catch (thrown) {
      if (command.signal.aborted)
        throw new DragonflyError('CANCELLED', 'the command was interrupted', { cause: thrown })
      const isLost = thrown instanceof DragonflyError && thrown.code === 'PEER_LOST'
      if (!isLost || tries >= PEER_TRIES) throw thrown
    }
  }
}

/** Seconds count from here, so that finding the peer and publishing are in. */
async function downloadOnce(command: DownloadCommand): Promise<RunResult> {
  const startedAt = systemClock.now()
  const body: DownloadRequest = {
    url: command.url,
    headers: [...command.headers],
    name: path.basename(command.output),
    tag: '',
    digest: command.digest,
    wantsDigest: command.wantsDigest,
    nodes: [...command.nodes],
  }
  const ask = { method: 'POST', path: '/downloads', body, signal: command.signal }
  const answer = await askStartedPeer(command.home, command.peerFlags, ask)
  try {
    const result = await lastEvent(answer, command.view)
    await publish(result.path, command.output)
    const seconds = (systemClock.now() - startedAt) / 1000
    const factor = result.boundFactor === null ? null : (result.boundFactor * seconds) / result.seconds
    return { ...result, seconds, boundFactor: factor }
  } finally {
    answer.destroy()
  }
}

async function lastEvent(answer: IncomingMessage, view: ProgressView): Promise<RunResult> {
  const broken = new Promise<never>((_, reject) => {
    answer.once('error', cause =>
      reject(new DragonflyError('PEER_LOST', 'the resident peer broke off', { cause })),
    )
  })
  return Promise.race([broken, readEvents(answer, view)])
}

async function readEvents(answer: IncomingMessage, view: ProgressView): Promise<RunResult> {
  let refusal = ''
  for await (const line of createInterface({ input: answer, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (answer.statusCode !== 200) {
      refusal += line
      continue
    }
    const event = JSON.parse(line) as LocalEvent
    if (event.event === 'progress') view.update(event.progress)
    else if (event.event === 'complete') return event.result
    else throw new DragonflyError(event.code, event.message)
  }
  if (refusal === '') throw new DragonflyError('PEER_LOST', 'the resident peer ended during the download')
  const { code, message } = JSON.parse(refusal)
  throw new DragonflyError(isErrorCode(code) ? code : 'INTERNAL', message)
}

/** The last line of `--json`. */
export function jsonResult(command: DownloadCommand, result: RunResult): string {
  const { taskId, lengthBytes, seconds, digest, bytes, sources, retries, waitMs, boundFactor } = result
  const url = redactUrl(command.url)
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
