import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { freePort } from './programs.ts'

/** A PostgreSQL of a test's own, in a temporary directory and on a port of its own, with a password. */
export type Postgres = {
  /** Of a database that nobody else has, with its password. */
  newDatabase(): Promise<string>
  /** As if the host of the database were gone. */
  pause(): void
  resume(): void
  stop(): Promise<void>
}

export const POSTGRES_PASSWORD = 'a-password-of-the-database'

const DEBIAN = '/usr/lib/postgresql'
const START_TRIES = 3

/** Null, after it was said, where PostgreSQL is not installed. */
export async function startPostgres(): Promise<Postgres | null> {
  const bin = postgresBin()
  if (bin === null) {
    process.stderr.write(
      '\n!!! SKIPPED: PostgreSQL is not installed, so what needs it is NOT tested; apt-get install postgresql\n\n',
    )
    return null
  }
  for (let tries = 1; ; tries++) {
    const started = await start(bin).catch((error: Error) => error)
    if (!(started instanceof Error)) return started
    // Somebody else may have taken the port meanwhile.
    if (tries === START_TRIES) throw started
  }
}

/** Debian's newest, else those on the PATH. */
function postgresBin(): string | null {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN) : []
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0]
  if (newest !== undefined && existsSync(path.join(DEBIAN, newest, 'bin', 'initdb')))
    return path.join(DEBIAN, newest, 'bin')
  const found = spawnSync('which', ['initdb'], { encoding: 'utf8' })
  return found.status === 0 ? path.dirname(found.stdout.trim()) : null
}

async function start(bin: string): Promise<Postgres> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-postgres-'))
  const data = path.join(directory, 'data')
  const passwordFile = path.join(directory, 'password')
  await writeFile(passwordFile, POSTGRES_PASSWORD)
  const account = accountOf()
  if (account !== null) {
    chownSync(directory, account.uid, account.gid)
    chownSync(passwordFile, account.uid, account.gid)
  }
  const identity = account ?? {}
  const made = spawnSync(
    path.join(bin, 'initdb'),
    [
      '-D',
      data,
      '-U',
      'dragonfly',
      '--pwfile',
      passwordFile,
      '-A',
      'scram-sha-256',
      '-E',
      'UTF8',
      '--no-sync',
    ],
    { encoding: 'utf8', cwd: directory, ...identity },
  )
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`)
  const port = await freePort()
  const settings = { port, listen_addresses: '127.0.0.1', unix_socket_directories: '', fsync: 'off' }
  const child = spawn(
    path.join(bin, 'postgres'),
    ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { stdio: ['ignore', 'ignore', 'pipe'], cwd: directory, ...identity },
  )
  const ended = once(child, 'exit')
  const remove = () => rm(directory, { recursive: true, force: true })
  if (!(await isReady(child.stderr))) {
    await ended
    await remove()
    throw new Error('PostgreSQL ended before it was ready')
  }
  const urlOf = (name: string) => `postgres://dragonfly:${POSTGRES_PASSWORD}@127.0.0.1:${port}/${name}`
  let databases = 0
  return {
    async newDatabase() {
      const name = `test_${++databases}`
      const client = new pg.Client({ connectionString: urlOf('postgres') })
      await client.connect()
      await client.query(`create database ${name}`)
      await client.end()
      return urlOf(name)
    },
    pause: () => signalAll(child.pid!, 'SIGSTOP'),
    resume: () => signalAll(child.pid!, 'SIGCONT'),
    async stop() {
      // Immediately: nothing in it is needed any more.
      child.kill('SIGQUIT')
      await ended
      await remove()
    },
  }
}

/** The server and those of its children that answer clients. */
function signalAll(pid: number, signal: NodeJS.Signals): void {
  const children = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  for (const one of [String(pid), ...children.stdout.trim().split(/\s+/)]) process.kill(Number(one), signal)
}

/** PostgreSQL refuses to run as root; Debian's package brings an account. */
function accountOf(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null
  const [uid, gid] = ['-u', '-g'].map(flag =>
    Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout),
  )
  return { uid, gid }
}

async function isReady(said: NodeJS.ReadableStream): Promise<boolean> {
  let text = ''
  return new Promise(resolve => {
    said.setEncoding('utf8')
    said.on('data', (part: string) => {
      text = (text + part).slice(-10_000)
      if (text.includes('ready to accept connections')) resolve(true)
    })
    said.once('end', () => resolve(false))
  })
}
