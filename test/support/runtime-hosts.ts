import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { runCli } from './cli-run.ts'
import { type Account, kill, type Processes, startProcesses, startServer } from './processes.ts'

/** Hosts with a dfdaemon and a resident peer each, 127.0.0.11 and on, and one supernode for them all: real processes. */

export type Host = {
  readonly ip: string
  /** `host:port` of its dfdaemon. */
  readonly mirror: string
  /** Its resident peer's. */
  readonly account: Account
  /** `kill -9`. */
  killDfdaemon(): Promise<void>
  /** On the same port. */
  restartDfdaemon(): Promise<void>
}

export type Hosts = {
  readonly processes: Processes
  /** One more. */
  start(): Promise<Host>
  /** Ends everything and removes the directories. */
  stop(): Promise<void>
}

/** @param registry `host:port` of the registry that the dfdaemons ask for whoever names none */
export async function openHosts(registry: string): Promise<Hosts> {
  const processes = await startProcesses()
  const daemons: ChildProcess[] = []
  const startDfdaemon = async (flags: string[]) => {
    const { child, ports } = await startServer('dfdaemon', flags)
    daemons.push(child)
    return { child, port: ports[0] }
  }
  let count = 0
  return {
    processes,
    async start() {
      const ip = `127.0.0.${10 + ++count}`
      const account = processes.account()
      const config = path.join(account.home, 'dfdaemon.yml')
      await mkdir(account.home, { recursive: true })
      const settings = {
        hostIp: ip,
        port: 0,
        registry_mirror: { remote: `http://${registry}` },
        supernodes: [processes.node],
        workHome: account.home,
        dfget_flags: ['--ip', ip],
      }
      // JSON is YAML.
      await writeFile(config, JSON.stringify(settings))
      const first = await startDfdaemon(['--config', config])
      const { port } = first
      let { child } = first
      // It starts its peer now.
      await account.when(() => true)
      return {
        ip,
        mirror: `${ip}:${port}`,
        account,
        killDfdaemon: () => kill(child),
        async restartDfdaemon() {
          const restarted = await startDfdaemon(['--config', config, '--port', String(port)])
          child = restarted.child
        },
      }
    },
    async stop() {
      await Promise.all(daemons.map(kill))
      await processes.stop()
    },
  }
}

export async function startThreeHosts(
  registry: string,
): Promise<Hosts & { readonly hosts: readonly [Host, Host, Host] }> {
  const world = await openHosts(registry)
  try {
    return { ...world, hosts: await Promise.all([world.start(), world.start(), world.start()]) }
  } catch (thrown) {
    await world.stop()
    throw thrown
  }
}

/** What `dfdaemon setup RUNTIME --write` writes, below the directory that is returned. */
export async function setUp(
  runtime: 'docker' | 'containerd' | 'podman',
  { registry, mirror, directory }: { registry: string; mirror: string; directory: string },
): Promise<string> {
  const root = path.join(directory, 'set-up')
  await mkdir(root, { recursive: true })
  const words = ['setup', runtime, '--write', '--root', root, '--registry', registry]
  const { status, stdout, stderr } = await runCli('dfdaemon', [...words, '--daemon', `http://${mirror}`])
  assert.equal(status, 0, stdout + stderr)
  return path.join(root, 'etc')
}
