import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { askPeer } from '../../src/cli/peer-process.ts'
import { ERROR_TABLE } from '../../src/core/error.ts'
import { openHome } from '../../src/peer/home.ts'
import type { PeerStatus } from '../../src/wire/local.ts'

/** The commands as users run them, from their sources. */

const CLI = path.join(import.meta.dirname, '../../src/cli')
const LOOK_EVERY_MS = 10
const STOP_MS = 10_000
/** A command that takes longer is killed, so that a test fails and does not hang. */
const PATIENCE_MS = 60_000

export type CliResult = {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  /** What `--json` printed: exactly one line, or this throws. */
  json(): Record<string, unknown>
}

export type RunningCli = { readonly child: ChildProcess; readonly ended: Promise<CliResult> }

export function startCli(
  program: 'dfget' | 'supernode' | 'manager' | 'dfdaemon' | 'dragonfly',
  flags: readonly string[],
  options: {
    cwd?: string
    isUnprivileged?: boolean
    env?: NodeJS.ProcessEnv
    input?: string
    patienceMs?: number
  } = {},
): RunningCli {
  const withoutPrivileges = ['setpriv', '--bounding-set=-all', '--inh-caps=-all']
  const mustDrop = options.isUnprivileged === true && process.getuid?.() === 0
  const [command, ...rest] = [...(mustDrop ? withoutPrivileges : []), process.execPath]
  const child = spawn(command, [...rest, path.join(CLI, `${program}.ts`), ...flags], {
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: options.patienceMs ?? PATIENCE_MS,
    killSignal: 'SIGKILL',
    cwd: options.cwd,
    env: options.env,
  })
  child.stdin?.end(options.input)
  return { child, ended: resultOf(child) }
}

export function runCli(...ask: Parameters<typeof startCli>): Promise<CliResult> {
  return startCli(...ask).ended
}

/** Of the resident peer of a home; null where none listens. */
export async function residentStatus(homeRoot: string): Promise<PeerStatus | null> {
  const answer = await askPeer(await openHome(homeRoot), { method: 'GET', path: '/status' })
  if (answer === null) return null
  return JSON.parse(Buffer.concat(await answer.toArray()).toString())
}

/** Asks the resident peer of a home to stop, if there is one; resolves when its process is gone. */
export async function stopResident(homeRoot: string): Promise<void> {
  const status = await residentStatus(homeRoot)
  if (status === null) return
  const answer = await askPeer(await openHome(homeRoot), { method: 'POST', path: '/stop' })
  answer?.resume()
  const deadline = performance.now() + STOP_MS
  while (isRunning(status.pid)) {
    if (performance.now() > deadline) throw new Error(`the resident peer ${status.pid} does not stop`)
    await delay(LOOK_EVERY_MS)
  }
}

/** It is no child of ours, so that there is no event for its end. */
function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** What `--json` said of a command that failed, with the hint that belongs to its code. */
export function failureOf({ status, stdout, stderr, json }: CliResult): {
  status: number | null
  code: unknown
  message: string
} {
  const { ok, code, message, hint, ...rest } = json()
  assert.deepEqual([ok, rest], [false, {}], stdout + stderr)
  assert.equal(hint, ERROR_TABLE[code as keyof typeof ERROR_TABLE].hint)
  return { status, code, message: String(message) }
}

async function resultOf(child: ChildProcess): Promise<CliResult> {
  let stdout = ''
  let stderr = ''
  child.stdout!.setEncoding('utf8').on('data', text => {
    stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  await once(child, 'close')
  const json = () => {
    const lines = stdout.split('\n')
    if (lines.length !== 2 || lines[1] !== '') throw new Error(`not one line of JSON: ${stdout}${stderr}`)
    return JSON.parse(lines[0])
  }
  return { status: child.exitCode, stdout, stderr, json }
}
