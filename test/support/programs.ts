import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Programs of other projects, which the tests run where they are installed. */

export type Program = 'docker-registry' | 'skopeo' | 'podman' | 'containerd' | 'dockerd'

export type ProgramResult = {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Where Debian keeps what is for administrators. */
const ENVIRONMENT = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
const PATIENCE_MS = 120_000
const LOOK_EVERY_MS = 20

/**
 * Why tests that need the programs cannot run here, said aloud, or false: the value of a suite's `skip`.
 * @param needs.root whether they need root
 */
export function obstacleTo(
  programs: readonly Program[],
  needs: { root: boolean } = { root: false },
): string | false {
  const absent = programs.filter(name => spawnSync('which', [name], { env: ENVIRONMENT }).status !== 0)
  const obstacles = [
    ...absent.map(name => `${name} is not installed`),
    ...(needs.root && !mayMount() ? [`${programs.join(' and ')} need root, and leave to mount`] : []),
  ]
  if (obstacles.length === 0) return false
  for (const obstacle of obstacles) process.stdout.write(`\n!!! NOT RUN: ${obstacle}\n\n`)
  return obstacles.join(', ')
}

/** As container runtimes do with what they unpack. */
function mayMount(): boolean {
  const words = ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt']
  return process.getuid?.() === 0 && spawnSync('unshare', words, { env: ENVIRONMENT }).status === 0
}

type Words = readonly string[]
type Environment = Readonly<Record<string, string>>

/** A server; whoever starts it ends it. */
export function startProgram(program: string, words: Words, environment: Environment = {}): ChildProcess {
  return spawn(program, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...ENVIRONMENT, ...environment },
  })
}

/** A command; it is killed where it takes too long, so that a test fails and does not hang. */
export async function runProgram(
  program: string,
  words: Words,
  environment: Environment = {},
): Promise<ProgramResult> {
  const child = startProgram(program, words, environment)
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', text => {
      said[name] += text
    })
  }
  const isLate = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS)
  await once(child, 'close')
  clearTimeout(isLate)
  return { status: child.exitCode, ...said }
}

/** Resolves when it is ready; it is killed where it does not come to that. */
export async function whenReady(child: ChildProcess, isReady: () => Promise<boolean>): Promise<void> {
  let said = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', text => {
      said = (said + text).slice(-10_000)
    })
  }
  const deadline = performance.now() + PATIENCE_MS
  while (!(await isReady())) {
    const isLate = performance.now() > deadline
    if (isLate) child.kill('SIGKILL')
    if (isLate || child.exitCode !== null) throw new Error(`${child.spawnfile} does not start: ${said}`)
    await delay(LOOK_EVERY_MS)
  }
}

/** Of 127.0.0.1, and free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
