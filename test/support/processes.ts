import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { askPeer } from '../../src/cli/peer-process.ts'
import { openHome } from '../../src/peer/home.ts'
import type { BytesBySource, PeerStatus, RunSnapshot } from '../../src/wire/local.ts'

/** The product as real processes, each of which can be killed: a supernode, accounts with their resident peers, commands. */

export const ROOT = path.join(import.meta.dirname, '../..')
const LOOK_EVERY_MS = 10
const PATIENCE_MS = 60_000

/** What `dfget --json` says at its end. */
export type CommandOutcome = {
  readonly status: number | null
  readonly ok: boolean
  readonly code?: string
  readonly message?: string
  readonly digest: string
  readonly lengthBytes: number
  readonly bytes: BytesBySource
  readonly retries: number
  readonly seconds: number
}

export type RunningCommand = {
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<void>
  readonly outcome: Promise<CommandOutcome>
}

export type Account = {
  readonly home: string
  /** Where its downloads go unless told otherwise. */
  readonly output: string
  dfget(url: string, options?: { output?: string; flags?: string[] }): RunningCommand
  /** Of the resident peer; null where none listens. */
  status(): Promise<PeerStatus | null>
  /** Resolves with the peer's status when it holds; rejects after a minute. */
  when(isReached: (tasks: readonly RunSnapshot[]) => boolean): Promise<PeerStatus>
  /** `kill -9` of the resident peer; resolves when it is gone. */
  killPeer(): Promise<void>
}

export type Processes = {
  readonly directory: string
  /** `host:port` of the supernode. */
  readonly node: string
  /** Another account on another address of this host; without supernode where `nodes` is empty. */
  account(flags?: string[]): Account
  killSupernode(): Promise<void>
  /** On the same ports and the same home. */
  restartSupernode(): Promise<void>
  /** Kills everything and removes the directory. */
  stop(): Promise<void>
}

export async function startProcesses(supernodeFlags: string[] = []): Promise<Processes> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-kill-'))
  const start = (ports: Ports) => startSupernode(path.join(directory, 'supernode'), ports, supernodeFlags)
  let supernode = await start({ control: 0, pieces: 0 })
  const { ports } = supernode
  const node = `127.0.0.1:${ports.control}`
  let accounts = 0
  return {
    directory,
    node,
    account(flags = []) {
      const number = ++accounts
      return openAccount(path.join(directory, `account-${number}`), [
        ...['--ip', `127.0.0.${10 + number}`, '--node', node, ...flags],
      ])
    },
    killSupernode: () => kill(supernode.child),
    async restartSupernode() {
      supernode = await start(ports)
    },
    async stop() {
      await kill(supernode.child)
      await killAllIn(directory)
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

type Ports = { control: number; pieces: number }

async function startSupernode(
  home: string,
  { control, pieces }: Ports,
  flags: string[],
): Promise<{ child: ChildProcess; ports: Ports }> {
  const { child, ports } = await startServer('supernode', [
    ...['--home-dir', home, '--listen-ip', '127.0.0.1'],
    ...['--port', String(control), '--download-port', String(pieces), ...flags],
  ])
  return { child, ports: { control: ports[0], pieces: ports[1] } }
}

/** Resolves when it says, in its first line, on which ports it listens. */
export async function startServer(
  command: 'supernode' | 'manager' | 'dfdaemon',
  flags: string[],
): Promise<{ child: ChildProcess; ports: readonly number[] }> {
  const child = run(`src/cli/${command}.ts`, flags)
  const said = collect(child)
  while (!said.out.includes('\n')) {
    if (child.exitCode !== null) throw new Error(`the ${command} ended at once: ${said.err}`)
    await Promise.race([once(child.stdout!, 'data'), once(child, 'close')])
  }
  const [line] = said.out.split('\n')
  return { child, ports: Array.from(line.matchAll(/ on \S+:(\d+)/g), ([, port]) => Number(port)) }
}

export function openAccount(home: string, accountFlags: readonly string[]): Account {
  const output = path.join(home, 'output')
  const account: Account = {
    home,
    output,
    dfget(url, { output: target = output, flags = [] } = {}) {
      const child = run('src/cli/dfget.ts', [
        ...['-u', url, '-o', target, '--home', home, '--json', ...accountFlags, ...flags],
      ])
      return { kill: () => kill(child), outcome: outcomeOf(child) }
    },
    async status() {
      const answer = await askPeer(await openHome(home), { method: 'GET', path: '/status' }).catch(() => null)
      if (answer === null) return null
      let text = ''
      try {
        for await (const part of answer) text += part
        return JSON.parse(text)
      } catch {
        return null
      }
    },
    async when(isReached) {
      const deadline = performance.now() + PATIENCE_MS
      let status: PeerStatus | null = null
      while (performance.now() < deadline) {
        status = await account.status()
        if (status && isReached(status.tasks)) return status
        await delay(LOOK_EVERY_MS)
      }
      throw new Error(`the peer never came to this: ${isReached}; it is at ${JSON.stringify(status)}`)
    },
    async killPeer() {
      const status = await account.status()
      if (status) await killProcess(status.pid)
    },
  }
  return account
}

function run(program: string, flags: readonly string[]): ChildProcess {
  return spawn(process.execPath, [path.join(ROOT, program), ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
}

function collect(child: ChildProcess): { out: string; err: string } {
  const said = { out: '', err: '' }
  child.stdout!.setEncoding('utf8').on('data', text => {
    said.out += text
  })
  child.stderr!.setEncoding('utf8').on('data', text => {
    said.err += text
  })
  return said
}

async function outcomeOf(child: ChildProcess): Promise<CommandOutcome> {
  const said = collect(child)
  await once(child, 'close')
  const last = said.out.trim().split('\n').at(-1)
  const word = last ? JSON.parse(last) : { ok: false, message: said.err }
  return { ...word, status: child.exitCode }
}

export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** Of a process that is no child of ours. */
async function killProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    return
  }
  while (await isRunning(pid)) await delay(LOOK_EVERY_MS)
}

/** A killed process whose parent has not taken note of it is no more than a number. */
async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat !== '' && !/^\d+ \(.*\) [ZX] /s.test(stat)
}

/** Those that were started, by whomever, for a home in this directory. */
export async function killAllIn(directory: string): Promise<void> {
  for (const pid of (await readdir('/proc')).filter(name => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (line.split('\0').some(word => word.startsWith(`${directory}/`))) await killProcess(Number(pid))
  }
}
