import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { residentStatus } from '../test/support/cli-run.ts'

/** What benchmarks on one host stand on: an nginx and a supernode on loopback, and what a command costs. */

export type Server = { readonly address: string; readonly pid: number; stop(): void }

/** Of a command, in seconds. */
export type Run = { readonly wall: number; readonly cpu: number }

const DIST = path.join(import.meta.dirname, '..', 'dist')
/** The bundled command. */
export const DFGET = path.join(DIST, 'dfget.js')

const TICKS_PER_SECOND = 100
/** A cold run writes the file twice: at the supernode and at the peer. Not all that was warmed is what the kernel takes first. */
const WARMED_FILES = 6

/** nginx with one worker, which serves what lies in `root`. It keeps everything in `directory`. */
export async function startNginx(directory: string): Promise<Server & { readonly root: string }> {
  const root = path.join(directory, 'www')
  await mkdir(root)
  const port = 20_000 + (process.pid % 20_000)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${directory}/${name};`,
  )
  const config = path.join(directory, 'nginx.conf')
  await writeFile(
    config,
    `daemon off; master_process off; pid ${directory}/nginx.pid; error_log ${directory}/nginx.log; user root;
     events {} http { access_log off; sendfile on; keepalive_requests 1000000; ${temporary.join(' ')}
     server { listen 127.0.0.1:${port}; root ${root}; } }`,
  )
  const child = spawn('nginx', ['-c', config], { stdio: 'ignore', env: withSbin() })
  const address = `127.0.0.1:${port}`
  while (!(await isAnswering(`http://${address}/`))) {
    if (child.exitCode !== null) throw new Error('nginx did not start')
    await delay(20)
  }
  return { address, root, pid: child.pid!, stop: () => void child.kill() }
}

/** The bundled one. */
export async function startSupernode(homeDir: string): Promise<Server> {
  await mkdir(homeDir, { recursive: true })
  const flags = ['--port', '0', '--download-port', '0', '--listen-ip', '127.0.0.1', '--home-dir', homeDir]
  const child = spawn(process.execPath, [path.join(DIST, 'supernode.js'), ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(child.stdout, 'data')
  const address = /control on (\S+),/.exec(String(line))?.[1]
  if (!address) throw new Error(`the supernode said ${line}`)
  return { address, pid: child.pid!, stop: () => void child.kill() }
}

/** CPU seconds that the processes have used so far. */
export async function cpuOf(pids: readonly number[]): Promise<number> {
  let ticks = 0
  for (const pid of pids) {
    const fields = await statOf(pid)
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / TICKS_PER_SECOND
}

/** CPU seconds of all cores that the host of a virtual machine has had for others so far. */
export async function stolenSeconds(): Promise<number> {
  const [allCores] = (await readFile('/proc/stat', 'utf8')).split('\n')
  return Number(allCores.split(/\s+/)[8]) / TICKS_PER_SECOND
}

/** No two blocks of it are alike. */
export async function writeRandomFile(file: string, lengthBytes: number): Promise<void> {
  const handle = await open(file, 'w')
  const block = randomBytes(1024 ** 2)
  for (let position = 0; position < lengthBytes; position += block.length) {
    block.writeUInt32LE(position / block.length, 0)
    await handle.write(block, 0, Math.min(block.length, lengthBytes - position), position)
  }
  await handle.close()
}

/** What a command takes, with the CPU of those who serve it. */
export async function timed(
  program: string,
  words: readonly string[],
  servers: readonly number[],
): Promise<Run> {
  const before = (await cpuOf(servers)) + (await cpuOfChildren())
  const startedAt = performance.now()
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit'] })
  const [status] = await once(child, 'close')
  const wall = (performance.now() - startedAt) / 1000
  if (status !== 0) throw new Error(`${program} ended with ${status}`)
  return { wall, cpu: (await cpuOf(servers)) + (await cpuOfChildren()) - before }
}

/**
 * All runs begin alike: what earlier ones wrote has gone to the disk, and the memory that the page cache will take was used a moment ago.
 * (A virtual machine gives free memory back to its host, and taking it again costs more than all the rest of a run.)
 */
export async function settle(directory: string, lengthBytes: number): Promise<void> {
  const scratch = path.join(directory, 'scratch')
  const blocks = Math.ceil((WARMED_FILES * lengthBytes) / 1024 ** 2)
  execFileSync('dd', ['if=/dev/zero', `of=${scratch}`, 'bs=1M', `count=${blocks}`], { stdio: 'ignore' })
  await rm(scratch)
  execFileSync('sync')
}

/** The resident peer says its own process id; nothing where there is no peer. */
export async function peerPid(home: string): Promise<number[]> {
  const status = await residentStatus(home)
  return status === null ? [] : [status.pid]
}

export function need(...programs: string[]): void {
  for (const program of programs) {
    try {
      execFileSync('which', [program], { stdio: 'ignore', env: withSbin() })
    } catch {
      console.error(`This benchmark needs ${program}; on Debian: apt-get install nginx-light curl`)
      process.exit(1)
    }
  }
}

async function isAnswering(url: string): Promise<boolean> {
  return fetch(url, { method: 'HEAD' }).then(
    () => true,
    () => false,
  )
}

/** Of children that have ended. */
async function cpuOfChildren(): Promise<number> {
  const fields = await statOf(process.pid)
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND
}

/** The fields of proc_pid_stat(5) from the third on. */
async function statOf(pid: number): Promise<string[]> {
  return (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
}

function withSbin(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }
}
