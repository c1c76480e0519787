import path from 'node:path'
import { formatDuration } from '../core/duration.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { redactUrl } from '../core/filter-url.ts'
import { formatSize } from '../core/size.ts'
import { systemClock } from '../ops/system-clock.ts'
import type { BytesBySource, RunResult } from '../wire/local.ts'
import { compilePlan, type Plan } from './dfget-command.ts'
import { downloadFile, jsonFailure, jsonResult, showLog } from './dfget-download.ts'
import type { EffectiveSettings } from './dfget-layers.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { STDOUT } from './download-target.ts'
import { askStartedPeer } from './peer-process.ts'
import { oneLine, shares, silentView, summaryLine } from './progress.ts'
import { reportError } from './report-error.ts'
import { type ListedUrl, parseUrlList, readUrlList } from './url-list.ts'

/** Downloads on their way at once; the rest waits. */
const AT_ONCE = 8

type Ended = { readonly result: RunResult } | { readonly error: DragonflyError }

/**
 * Downloads the URLs of `--input-file`, and says of each how it went and of all together. One that fails stops no other.
 * @returns the greatest exit status among them
 * @throws DragonflyError where nothing can be begun at all
 */
export async function downloadList(effective: EffectiveSettings, signal: AbortSignal): Promise<number> {
  const { settings } = effective
  const directory = directoryOf(settings)
  const listed = parseUrlList(await readUrlList(settings.inputFile!, signal), directory)
  const plan = await compilePlan(effective, signal)
  const startedAt = systemClock.now()
  const summary = new Summary()
  const stopFollowing = await showLog(
    { shownLog: plan.shownLog, isReserved: settings.json || settings.quiet },
    silentView,
  )
  try {
    await startOnce(plan)
    await inParallel(listed, async entry => {
      const ended = await downloadOne(plan, entry, signal)
      summary.add(ended)
      tell(plan, entry, ended)
    })
  } finally {
    await stopFollowing()
  }
  const seconds = (systemClock.now() - startedAt) / 1000
  if (settings.json) process.stdout.write(`${summary.json(seconds)}\n`)
  else if (!settings.quiet) process.stdout.write(`${summary.line(seconds)}\n`)
  return summary.exitStatus
}

/** All go through one resident peer; were each to find none, each would start one. */
async function startOnce({ home, peerArguments }: Plan): Promise<void> {
  const answer = await askStartedPeer(home, peerArguments, { method: 'GET', path: '/status' })
  answer.resume()
}

/** Absolute. @throws DragonflyError USAGE for settings that are of one download and not of many */
function directoryOf({ url, output, outputDocument, md5, digest }: DfgetSettings): string {
  const refuse = (what: string): never => {
    throw new DragonflyError('USAGE', `${what} is for one URL, and --input-file names many`)
  }
  if (url !== null) refuse('-u')
  if (outputDocument !== null) refuse('-O')
  if (output === STDOUT) refuse('-o -')
  if (md5 !== null || digest.length > 0) refuse('a digest')
  return path.resolve(output ?? '.')
}

async function downloadOne(plan: Plan, entry: ListedUrl, signal: AbortSignal): Promise<Ended> {
  try {
    if (entry.refusal !== null) throw entry.refusal
    if (signal.aborted) throw new DragonflyError('CANCELLED', 'the command was interrupted')
    return { result: await downloadFile({ ...plan.commandFor(entry.url, entry.output), shownLog: null }) }
  } catch (thrown) {
    return { error: toDragonflyError(thrown) }
  }
}

/** In the order of the list, as far as there is room. */
async function inParallel<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const queue = all.values()
  const worker = async () => {
    for (const one of queue) await work(one)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

function tell({ settings, commandFor }: Plan, { url, output }: ListedUrl, ended: Ended): void {
  const { json, quiet } = settings
  if ('result' in ended) {
    if (json) process.stdout.write(`${jsonResult(commandFor(url, output!), ended.result)}\n`)
    else if (!quiet) process.stdout.write(`${summaryLine(ended.result, output!)}\n`)
    return
  }
  const { error } = ended
  const shown = redactUrl(url)
  if (json) {
    const { ok, ...rest } = JSON.parse(jsonFailure(error))
    process.stdout.write(`${JSON.stringify({ ok, url: shown, output, ...rest })}\n`)
  } else {
    const told = new DragonflyError(error.code, `${oneLine(shown)}: ${error.message}`, { cause: error })
    reportError('dfget', told)
  }
}

/** What became of all of them. */
class Summary {
  #files = 0
  #lengthBytes = 0
  readonly #bytes: BytesBySource = { origin: 0, supernode: 0, peers: 0, local: 0 }
  readonly #failures = new Map<string, number>()
  exitStatus = 0

  add(ended: Ended): void {
    if ('error' in ended) {
      const { code, exitStatus } = ended.error
      this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1)
      this.exitStatus = Math.max(this.exitStatus, exitStatus)
      return
    }
    const { lengthBytes, bytes } = ended.result
    this.#files++
    this.#lengthBytes += lengthBytes
    for (const source of ['origin', 'supernode', 'peers', 'local'] as const) {
      this.#bytes[source] += bytes[source]
    }
  }

  json(seconds: number): string {
    return JSON.stringify({
      summary: true,
      ok: this.#failed === 0,
      files: this.#files,
      failed: this.#failed,
      lengthBytes: this.#lengthBytes,
      seconds: Math.round(seconds * 1000) / 1000,
      bytes: this.#bytes,
      failures: Object.fromEntries(this.#failures),
    })
  }

  line(seconds: number): string {
    const all = this.#files + this.#failed
    const length = `${formatSize(this.#lengthBytes)} in ${formatDuration(seconds * 1000)}`
    const codes = [...this.#failures].map(([code, count]) => `${code} ${count}`).join(', ')
    const failures = this.#failed === 0 ? '' : `  ${this.#failed} failed: ${codes}`
    return `${this.#files} of ${all} files: ${length}  ${shares(this.#bytes)}${failures}`.trimEnd()
  }

  get #failed(): number {
    return [...this.#failures.values()].reduce((sum, count) => sum + count, 0)
  }
}
