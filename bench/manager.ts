import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { startPostgres } from '../test/support/postgres.ts'
import { quantile } from './figures.ts'
import { cpuOf } from './loopback.ts'

/**
 * Clients that start for the first time, each on a connection of its own, ask one managing node where they are and whom they may ask; on
 * SQLite, then on PostgreSQL, while a hundred supernodes renew their leases. Then the look-ups of bench/armory.ts.
 *
 *     npm run bench:manager -- [--clients 10000] [--at-once 256]
 */

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '10000' },
    'at-once': { type: 'string', default: '256' },
  },
})
const clients = Number(values.clients)
const atOnce = Number(values['at-once'])

const SUPERNODES = 100
const ZONES = 8
const RENEW_MS = 1_000
const TARGET_SECONDS = 30
const MANAGER = path.join(import.meta.dirname, '..', 'src', 'cli', 'manager.ts')

const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-bench-manager-'))
const postgres = await startPostgres()
try {
  const armory = path.join(directory, 'armory.csv')
  const lines = Array.from(
    { length: 256 },
    (_, i) => `10.${i}.0.0/16,domain,idc-${i % ZONES},location-${i % 4}`,
  )
  await writeFile(armory, `${['cidr,securityDomain,idc,location', ...lines].join('\n')}\n`)
  console.log(`${clients} first contacts, ${atOnce} at once, ${SUPERNODES} supernodes`)
  console.log('database        total     each p50       p99   manager CPU   asked per second')
  await measure('SQLite', { armory, database: null })
  if (postgres) await measure('PostgreSQL', { armory, database: await postgres.newDatabase() })
} finally {
  await postgres?.stop()
  await rm(directory, { recursive: true, force: true })
}
const lookUps = path.join(import.meta.dirname, 'armory.ts')
process.exitCode = spawnSync(process.execPath, [lookUps], { stdio: 'inherit' }).status ?? 1

type Scene = { readonly armory: string; readonly database: string | null }

async function measure(name: string, { armory, database }: Scene): Promise<void> {
  const home = path.join(directory, name)
  const env = { ...process.env, ...(database === null ? {} : { DRAGONFLY_DATABASE: database }) }
  const flags = ['--port', '0', '--listen-ip', '127.0.0.1', '--home-dir', home, '--armory', armory]
  const child = spawn(process.execPath, [MANAGER, ...flags], { stdio: ['ignore', 'pipe', 'inherit'], env })
  const [line] = await once(child.stdout, 'data')
  const port = Number(/ on \S+:(\d+)/.exec(String(line))?.[1])
  if (!port) throw new Error(`the manager said ${line}`)
  const token = execFileSync(process.execPath, [MANAGER, 'token', 'create', '--home-dir', home], {
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const stopRenewing = await startSupernodes(port, String(token).trim())

  const cpuBefore = await cpuOf([child.pid!])
  const startedAt = performance.now()
  const took = await contactAll(port)
  const seconds = (performance.now() - startedAt) / 1000
  const cpu = (await cpuOf([child.pid!])) - cpuBefore
  stopRenewing()
  child.kill()
  await once(child, 'exit')
  const columns = [
    `${seconds.toFixed(2)} s`.padStart(10),
    `${quantile(took, 0.5).toFixed(1)} ms`.padStart(12),
    `${quantile(took, 0.99).toFixed(1)} ms`.padStart(9),
    `${cpu.toFixed(2)} s`.padStart(13),
    (clients / seconds).toFixed(0).padStart(18),
  ]
  const verdict = `≤ ${TARGET_SECONDS} s ${seconds <= TARGET_SECONDS ? 'met' : 'MISSED'}`
  console.log(`${name.padEnd(10)} ${columns.join(' ')}   ${verdict}`)
}

/** They join, and renew their leases far more often than they need to. */
async function startSupernodes(port: number, token: string): Promise<() => void> {
  const credentials: string[] = []
  for (let i = 0; i < SUPERNODES; i++) {
    const joined = await ask(port, { path: '/api/v1/join', body: { token, supernodeId: `supernode-${i}` } })
    credentials.push((JSON.parse(joined) as { credential: string }).credential)
  }
  const renewAll = async () => {
    for (const [i, bearer] of credentials.entries()) {
      const host = `10.${i}.0.1`
      const body = {
        control: { host, port: 8002 },
        pieces: { host, port: 8001 },
        hostName: `supernode-${i}`,
        version: '2',
        load: { peers: 10, tasks: 1, sentBytesPerSecond: 0, uploadLimit: null },
      }
      await ask(port, { method: 'PUT', path: `/api/v1/supernodes/supernode-${i}/lease`, body, bearer })
    }
  }
  await renewAll()
  let running = Promise.resolve()
  const timer = setInterval(() => {
    running = running.then(renewAll).catch(() => {})
  }, RENEW_MS)
  return () => clearInterval(timer)
}

/** Milliseconds of each client, from before it connects until it has the whole answer. */
async function contactAll(port: number): Promise<number[]> {
  const took: number[] = []
  let next = 0
  const contact = async () => {
    for (let i = next++; i < clients; i = next++) {
      const startedAt = performance.now()
      const addresses = [`10.${i & 255}.${(i >> 8) & 255}.9`]
      const body = { hostName: `client-${i}`, addresses, version: '2' }
      const answer = JSON.parse(await ask(port, { path: '/api/v1/locate', body })) as {
        isKnown: boolean
        groups: { supernodes: object[] }[]
      }
      took.push(performance.now() - startedAt)
      const told = answer.groups.reduce((sum, { supernodes }) => sum + supernodes.length, 0)
      if (!answer.isKnown || told !== SUPERNODES) throw new Error(`a client was told of ${told} supernodes`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, contact))
  return took
}

type Question = {
  readonly method?: string
  readonly path: string
  readonly body: object
  readonly bearer?: string
}

/** On a connection of its own. */
function ask(port: number, { method = 'POST', path: route, body, bearer }: Question): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      connection: 'close',
      ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
    }
    const asked = request({ host: '127.0.0.1', port, method, path: route, agent: false, headers })
    asked.once('error', reject)
    asked.once('response', async response => {
      const text = Buffer.concat(await response.toArray()).toString()
      if (response.statusCode === 200) resolve(text)
      else reject(new Error(`${method} ${route}: ${response.statusCode} ${text}`))
    })
    asked.end(JSON.stringify(body))
  })
}
