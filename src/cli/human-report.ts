import { type DragonflyError, type ErrorCode, toDragonflyError } from '../core/error.ts'
import { oneLine } from '../core/text.ts'
import { calendarTime } from '../ops/system-clock.ts'
import { VERSION } from '../ops/version.ts'
import type { RunResult, RunSnapshot } from '../wire/local.ts'
import type { ProgressView } from './progress.ts'
import { shownUrl } from './shown-url.ts'

/** The lines that dfget 1.x wrote, which scripts and people look for. */

type ReportFacts = {
  readonly url: string
  readonly filter: readonly string[]
  readonly output: string
  /** The home directory. */
  readonly workspace: string
  readonly sign: string
  /** Without any, the origin is all there is. */
  readonly hasNodes: boolean
  /** This host's address, as far as it is known by now. */
  client(): string
  /** Milliseconds, monotonic. */
  now(): number
  wallNow(): number
}

/** Codes of dfget 1.x for what went wrong; its exit statuses are their low eight bits. */
const CODE_PREPARE_FAILED = 1101
const CODE_REGISTRATION_REFUSED = 1103
const CODE_DOWNLOAD_FAILED = 1104

/** Wraps a view so that the old lines come before, between and after what it shows. */
export function reportedView(
  inner: ProgressView,
  write: (text: string) => void,
  facts: ReportFacts,
): ProgressView {
  const startedAt = facts.now()
  let node: string | null = null
  let isAnnounced = false
  const say = (line: string) => {
    inner.clear()
    write(`${oneLine(line)}\n`)
  }
  const noticeNode = (now: string | null) => {
    if (now === null || now === node) return
    say(node === null ? `client:${facts.client()} connected to node:${now}` : `migrated to node:${now}`)
    if (!isAnnounced) say('start download by dragonfly...')
    node = now
    isAnnounced = true
  }
  const noticeOrigin = ({ bytes }: RunSnapshot | RunResult) => {
    if (isAnnounced || bytes.origin === 0) return
    isAnnounced = true
    if (facts.hasNodes) {
      say('failed to download by dragonfly: no supernode answers, and start try to download from source')
    } else say(`start download ${baseName(facts.output)} from the source station`)
  }
  const seconds = () => ((facts.now() - startedAt) / 1000).toFixed(3)
  say(`--${calendarTime(facts.wallNow())}--  ${shownUrl(facts.url, facts.filter)}`)
  say(`dfget version:${VERSION}`)
  say(`workspace:${facts.workspace}`)
  say(`sign:${facts.sign}`)
  return {
    clear: () => inner.clear(),
    update(progress) {
      noticeNode(progress.node)
      noticeOrigin(progress)
      inner.update(progress)
    },
    finish(result, output) {
      noticeNode(result.node)
      noticeOrigin(result)
      const reason =
        result.bytes.origin === 0 ? 0 : facts.hasNodes ? (node === null ? REGISTER_FAILED : 0) : NO_NODES
      say(`download SUCCESS cost:${seconds()}s length:${result.lengthBytes} reason:${reason}`)
      inner.finish(result, output)
    },
    fail(thrown) {
      inner.fail(thrown)
      const error = toDragonflyError(thrown)
      const code = codeOf(error)
      const told = JSON.stringify({ Code: code, Msg: error.message })
      say(`download FAIL(${code}) cost:${seconds()}s length:-1 reason:${reasonOf(error.code)} error:${told}`)
    },
  }
}

const REGISTER_FAILED = 1
const NO_NODES = 8

function codeOf({ code }: DragonflyError): number {
  if (code === 'REGISTRATION_REFUSED') return CODE_REGISTRATION_REFUSED
  return code === 'OUTPUT_INVALID' ? CODE_PREPARE_FAILED : CODE_DOWNLOAD_FAILED
}

/** The reasons of dfget 1.x, as near as there is one. */
function reasonOf(code: ErrorCode): number {
  if (code.startsWith('ORIGIN_')) return 10
  if (code.startsWith('SUPERNODE_') || code === 'REGISTRATION_REFUSED') return REGISTER_FAILED
  return REASONS[code] ?? 3
}

const REASONS: Partial<Record<ErrorCode, number>> = {
  DIGEST_MISMATCH: 2,
  DISK_FULL: 4,
  PEER_NOT_STARTED: 5,
  DISK_ERROR: 6,
  OUTPUT_INVALID: 6,
}

function baseName(output: string): string {
  return output.slice(output.lastIndexOf('/') + 1)
}
