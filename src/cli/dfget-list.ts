import path from 'node:path'
import { formatDuration } from '../core/duration.ts'
import { DragonflyError, toDragonflyError } from '../core/error.ts'
import { formatSize } from '../core/size.ts'
import { oneLine } from '../core/text.ts'
import { systemClock } from '../ops/system-clock.ts'
import { BYTE_SOURCES, type BytesBySource, type RunResult } from '../wire/local.ts'
import { compilePlan, type Plan } from './dfget-command.ts'
import { downloadFile, failureFacts, resultFacts, showLog } from './dfget-download.ts'
import type { EffectiveSettings } from './dfget-layers.ts'
import type { DfgetSettings } from './dfget-settings.ts'
import { STDOUT } from './download-target.ts'
import { askStartedPeer } from './peer-process.ts'
import { persist, withinTime } from './persistence.ts'
import { shares, silentView, summaryLine } from './progress.ts'
import { reportError } from './report-error.ts'
import { shownUrl } from './shown-url.ts'
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
  const stopFollowing = await showLog(plan.shownLog, silentView)
  try {
    await persist({ tries: settings.tries, signal }, () => startFirst(plan, signal))
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

/** A peer that cannot be started is one failure, and not one of each line. */
async function startFirst({ home, peerStart }: Plan, signal: AbortSignal): Promise<void> {
  const answer = await askStartedPeer(home, peerStart, { method: 'GET', path: '/status', signal })
  answer.resume()
}

/** Absolute. @throws DragonflyError USAGE for settings that are of one download and not of many */
function directoryOf(settings: DfgetSettings): string {
  const { url, output, outputDocument, md5, digest, contentDisposition } = settings
  const refuse = (what: string): never => {
    throw new DragonflyError('USAGE', `${what} is for one URL, and --input-file names many`)
  }
  if (url !== null) refuse('-u')
  if (outputDocument !== null) refuse('-O')
  if (output === STDOUT) refuse('-o -')
  if (md5 !== null || digest.length > 0) refuse('a digest')
  if (contentDisposition) refuse('--content-disposition')
  return path.resolve(output ?? '.')
}

async function downloadOne(plan: Plan, entry: ListedUrl, signal: AbortSignal): Promise<Ended> {
  try {
    if (entry.refusal !== null) throw entry.refusal
    const command = { ...plan.commandFor(entry.url, entry.output), shownLog: null }
    const download = (inTime: AbortSignal) => downloadFile({ ...command, signal: inTime })
    return { result: await withinTime(plan.settings.timeout, signal, download) }
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
  const { json, quiet, filter } = settings
  if ('result' in ended) {
    if (json)
      process.stdout.write(`${JSON.stringify(resultFacts(commandFor(url!, output!), ended.result))}\n`)
    else if (!quiet) process.stdout.write(`${summaryLine(ended.result, output!)}\n`)
    return
  }
  const { error } = ended
  const shown = url === null ? null : shownUrl(url, filter)
  if (json) {
    const { ok, ...rest } = failureFacts(error)
    process.stdout.write(`${JSON.stringify({ ok, url: shown, output, ...rest })}\n`)
  } else {
    const subject = shown === null ? '' : `${oneLine(shown)}: `
    reportError('dfget', new DragonflyError(error.code, `${subject}${error.message}`, { cause: error }))
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
    for (const source of BYTE_SOURCES) this.#bytes[source] += bytes[source]
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
