import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** What benchmarks on one host stand on: an nginx and a supernode on loopback, the resident peers of their homes, and CPU time. */

export type Server = { readonly address: string; readonly pid: number; stop(): void }

const TICKS_PER_SECOND = 100

/** nginx with one worker, which serves `root`. It keeps what it writes in `directory`. */
export async function startNginx(directory: string, root: string): Promise<Server> {
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
  return { address, pid: child.pid!, stop: () => void child.kill() }
}

/** `program` is the bundled supernode. */
export async function startSupernode(program: string, homeDir: string): Promise<Server> {
  await mkdir(homeDir, { recursive: true })
  const flags = ['--port', '0', '--download-port', '0', '--listen-ip', '127.0.0.1', '--home-dir', homeDir]
  const child = spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  const address = /control on (\S+),/.exec(String(line))?.[1]
  if (!address) throw new Error(`the supernode said ${line}`)
  return { address, pid: child.pid!, stop: () => void child.kill() }
}

/** CPU seconds that the processes have used so far. */
export async function cpuOf(pids: readonly number[]): Promise<number> {
  let ticks = 0
  for (const pid of pids) {
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / TICKS_PER_SECOND
}

/** The resident peer says its own process id; nothing where there is no peer. */
export async function peerPid(home: string): Promise<number[]> {
  const answer = await askPeer(home, 'GET', '/status')
  return answer === null ? [] : [(JSON.parse(answer) as { pid: number }).pid]
}

/** Resolves when the process is gone. */
export async function stopPeer(home: string): Promise<void> {
  const [pid] = await peerPid(home)
  await askPeer(home, 'POST', '/stop')
  while (pid !== undefined && (await isThere(pid))) await delay(10)
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

function askPeer(home: string, method: string, route: string): Promise<string | null> {
  return new Promise(resolve => {
    const asked = request({ socketPath: path.join(home, 'meta', 'peer.sock'), method, path: route })
    asked.once('error', () => resolve(null))
    asked.once('response', async response => resolve(Buffer.concat(await response.toArray()).toString()))
    asked.end()
  })
}

async function isAnswering(url: string): Promise<boolean> {
  return fetch(url, { method: 'HEAD' }).then(
    () => true,
    () => false,
  )
}

async function isThere(pid: number): Promise<boolean> {
  return readFile(`/proc/${pid}/stat`).then(
    () => true,
    () => false,
  )
}

function withSbin(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }
}
