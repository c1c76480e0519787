import { mkdir, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { DragonflyError } from '../core/error.ts'
import { formatHostPort } from '../core/host-port.ts'
import { Manager } from '../manager/manager.ts'
import { Supernode } from '../supernode/supernode.ts'
import { startDfdaemon } from './dfdaemon-service.ts'
import { gatherSettings } from './dfdaemon-settings.ts'
import { stopPeer } from './dfget-server-control.ts'
import { compileManagerOptions } from './manager-options.ts'
import { compileSupernodeOptions } from './supernode-options.ts'

/** All servers in one process, with the embedded database: what a machine needs to try the system, and a small site to use it. */

export type WholeSystemOptions = {
  /** Each part has a directory of its own in it; undefined is `~/.dragonfly`. */
  readonly homeDir?: string
  readonly managerPort?: number
  readonly port?: number
  readonly downloadPort?: number
  readonly dfdaemonPort?: number
}

type WholeSystem = {
  readonly manager: Manager
  readonly supernode: Supernode
  readonly dfdaemonUrl: string
  readonly homeDir: string
  readonly armory: string
  /** Each part ends in an orderly way, the last first. */
  stop(): Promise<void>
}

/** The supernode joins before this time is over, or never. */
const TOKEN_LIFETIME_MS = 60_000

/**
 * @param dfget the file of that command
 * @throws DragonflyError ADDRESS_IN_USE, DISK_ERROR, and what else its parts throw; then none of them runs
 */
export async function startWholeSystem(options: WholeSystemOptions, dfget: string): Promise<WholeSystem> {
  const homeDir = path.resolve(options.homeDir ?? path.join(os.homedir(), '.dragonfly'))
  const armory = await knowThisMachine(path.join(homeDir, 'manager'))
  const managerOptions = compileManagerOptions({
    homeDir: path.join(homeDir, 'manager'),
    armory,
    port: options.managerPort,
  })
  const { port } = managerOptions
  const advertise = port === 0 ? null : `http://${formatHostPort({ host: ownAddress(), port })}`
  const started: { stop(): Promise<void> }[] = []
  const stop = async () => {
    for (const part of started.toReversed()) await part.stop()
  }
  try {
    const manager = await Manager.start({ ...managerOptions, advertise })
    started.push(manager)
    const supernode = await startSupernode(manager, { ...options, homeDir })
    started.push(supernode)
    const dfdaemon = await startOwnDfdaemon(supernode, { ...options, homeDir, dfget })
    started.push(dfdaemon)
    return { manager, supernode, dfdaemonUrl: dfdaemon.url, homeDir, armory, stop }
  } catch (thrown) {
    await stop()
    throw thrown
  }
}

/** With a resident peer of its own, which ends with it. Its other settings are those of the environment. */
async function startOwnDfdaemon(
  supernode: Supernode,
  { homeDir, dfdaemonPort, dfget }: WholeSystemOptions & { readonly homeDir: string; readonly dfget: string },
): Promise<{ url: string; stop(): Promise<void> }> {
  const workHome = path.join(homeDir, 'dfdaemon')
  const own = {
    ...(dfdaemonPort === undefined ? {} : { port: dfdaemonPort }),
    supernodes: [`127.0.0.1:${supernode.port}`],
    workHome,
  }
  const settings = await gatherSettings(own, { environment: process.env, named: '' })
  const { url, stop } = await startDfdaemon(settings, { environment: process.env, args: [], dfget })
  return {
    url,
    async stop() {
      await stop()
      await stopPeer({ workHome })
    },
  }
}

async function startSupernode(
  manager: Manager,
  { homeDir, port, downloadPort }: WholeSystemOptions & { readonly homeDir: string },
): Promise<Supernode> {
  const joinToken = await manager.createToken({
    kind: 'join',
    name: 'this machine',
    lifetimeMs: TOKEN_LIFETIME_MS,
    usesMax: 1,
  })
  const cluster = { managers: [`http://127.0.0.1:${manager.port}`], joinToken, host: ownAddress() }
  const settings = { homeDir: path.join(homeDir, 'supernode'), port, downloadPort }
  return Supernode.start({ ...compileSupernodeOptions(settings), cluster })
}

/** An armory file of this machine's addresses, unless there is one: it is the operator's from then on. Returns its path. */
async function knowThisMachine(directory: string): Promise<string> {
  const file = path.join(directory, 'armory.csv')
  const cidrs = outerAddresses().map(({ address, family }) => `${address}/${family === 'IPv6' ? 128 : 32}`)
  const lines = ['127.0.0.0/8', '::1/128', ...new Set(cidrs)].map(cidr => `${cidr},,local,this-machine,,`)
  const header = [
    '# Who is where. Changes are seen at once.',
    'cidr,hostName,securityDomain,idc,location,rack',
  ]
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await writeFile(file, `${[...header, ...lines].join('\n')}\n`, { flag: 'wx' })
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code !== 'EEXIST')
      throw new DragonflyError('DISK_ERROR', `${file} cannot be written: ${message}`, { cause })
  }
  return file
}

/** By which other hosts reach this one; its own loopback address where it has no network. */
function ownAddress(): string {
  const [first] = outerAddresses().toSorted((a, b) => a.family.localeCompare(b.family))
  return first?.address ?? '127.0.0.1'
}

/** Without those that mean something on this host or on one link only. */
function outerAddresses(): os.NetworkInterfaceInfo[] {
  return Object.values(os.networkInterfaces())
    .flatMap(known => known ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
}
