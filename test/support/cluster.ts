import { type ChildProcess, execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Account, kill, killAllIn, openAccount, ROOT, startServer } from './processes.ts'

const LOOK_EVERY_MS = 20

/**
 * A managing node, supernodes in zones, and accounts in them, as real processes. Zone n is 127.n.0.0/16, an IDC of one security domain;
 * supernodes of other zones fill from those of zone 1.
 */

type SupernodeStatus = {
  /** Received from the origin, and from other supernodes and their peers, for the tasks in memory. */
  readonly originBytes: number
  readonly parentBytes: number
  /** `host:port` of each. */
  readonly parents: readonly string[]
}

export type ClusterSupernode = {
  readonly zone: number
  /** `host:port` of the control channel. */
  readonly node: string
  status(): Promise<SupernodeStatus>
  kill(): Promise<void>
  /** On the same ports and the same home. */
  restart(): Promise<void>
}

export type Cluster = {
  readonly directory: string
  /** URL of the managing node. */
  readonly manager: string
  readonly supernodes: readonly ClusterSupernode[]
  /** On an address of its own in the zone; knows nothing but the managing node. */
  account(zone: number, flags?: string[]): Account
  killManager(): Promise<void>
  stop(): Promise<void>
}

export async function startCluster(plan: {
  zones: number
  supernodesPerZone: number
  supernodeFlags?: string[]
}): Promise<Cluster> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-cluster-'))
  const home = path.join(directory, 'manager')
  await mkdir(home)
  const armory = path.join(directory, 'armory.csv')
  const zones = Array.from({ length: plan.zones }, (_, index) => index + 1)
  const lines = zones.map(zone => `127.${zone}.0.0/16,,domain,idc-${zone},,`)
  await writeFile(armory, `${['cidr,hostName,securityDomain,idc,location,rack', ...lines].join('\n')}\n`)
  const manager = await startServer('manager', [
    ...['--port', '0', '--listen-ip', '127.0.0.1', '--home-dir', home, '--armory', armory],
    ...['--zone-boundary', 'idc', '--root-zone', 'idc-1'],
  ])
  const url = `http://127.0.0.1:${manager.ports[0]}`
  const token = await joinToken(home)
  const supernodes: ClusterSupernode[] = []
  // The zones that fill from the first one find it there.
  for (const zone of zones) {
    const ofZone = Array.from({ length: plan.supernodesPerZone }, (_, i) =>
      startClusterSupernode(zone, `127.${zone}.1.${i + 1}`, [
        ...['--home-dir', path.join(directory, `supernode-${zone}-${i + 1}`)],
        ...['--manager', url, '--join', token, ...(plan.supernodeFlags ?? [])],
      ]),
    )
    supernodes.push(...(await Promise.all(ofZone)))
  }
  for (const supernode of supernodes) {
    const parents = supernode.zone === 1 ? 0 : plan.supernodesPerZone
    while ((await supernode.status()).parents.length < parents) await delay(LOOK_EVERY_MS)
  }
  let accounts = 0
  return {
    directory,
    manager: url,
    supernodes,
    account(zone, flags = []) {
      const number = ++accounts
      const home = path.join(directory, `account-${number}`)
      return openAccount(home, ['--ip', `127.${zone}.2.${number}`, '--manager', url, ...flags])
    },
    killManager: () => kill(manager.child),
    async stop() {
      await Promise.all([kill(manager.child), ...supernodes.map(supernode => supernode.kill())])
      await killAllIn(directory)
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

async function joinToken(home: string): Promise<string> {
  const program = path.join(ROOT, 'src/cli/manager.ts')
  const args = [program, 'token', 'create', '--name', 'test', '--home-dir', home]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return stdout.trim().split(/\s+/).at(-1)!
}

async function startClusterSupernode(zone: number, ip: string, flags: string[]): Promise<ClusterSupernode> {
  const start = (ports: readonly number[]) =>
    startServer('supernode', [
      ...['--listen-ip', ip, '--advertise-ip', ip],
      ...['--port', String(ports[0]), '--download-port', String(ports[1]), ...flags],
    ])
  let running: { child: ChildProcess; ports: readonly number[] } = await start([0, 0])
  const { ports } = running
  const node = `${ip}:${ports[0]}`
  return {
    zone,
    node,
    async status() {
      const answer = await fetch(`http://${node}/`)
      return (await answer.json()) as SupernodeStatus
    },
    kill: () => kill(running.child),
    async restart() {
      running = await start(ports)
    },
  }
}
