import { mkdtemp } from 'node:fs/promises'
import path from 'node:path'
import type { SupernodeOptions } from '../../src/supernode/supernode.ts'
import { stopResident } from './cli-run.ts'
import { type OriginServer, startOriginServer } from './origin-server.ts'
import { startSystem, type TestSystem } from './system.ts'

/** What commands of one account need: an origin, a supernode, and a home whose resident peer they start. */
export type DfgetWorld = {
  readonly origin: OriginServer
  readonly system: TestSystem
  readonly home: string
  /** By which a command uses nothing of this machine's. */
  flags(homeRoot?: string, node?: string): string[]
  /** Removed with the world. */
  newDirectory(name: string): Promise<string>
  /** A home of its own, whose peer is stopped at the end. */
  withHome(action: (root: string) => Promise<void>): Promise<void>
}

export async function startDfgetWorld(options: Partial<SupernodeOptions> = {}): Promise<DfgetWorld> {
  const origin = await startOriginServer()
  const system = await startSystem({ freshMs: 60_000, ...options })
  const home = path.join(system.directory, 'home')
  const newDirectory = (name: string) => mkdtemp(path.join(system.directory, `${name}-`))
  return {
    origin,
    system,
    home,
    flags: (homeRoot = home, node = system.node) => {
      return ['--config=', '--home', homeRoot, '--node', node, '--ip', '127.0.0.1']
    },
    newDirectory,
    async withHome(action) {
      const root = await newDirectory('home')
      try {
        await action(root)
      } finally {
        await stopResident(root)
      }
    },
  }
}

export async function stopDfgetWorld({
  origin,
  system,
  home,
}: Pick<DfgetWorld, 'origin' | 'system' | 'home'>): Promise<void> {
  await stopResident(home)
  await system.stop()
  await origin.close()
}
