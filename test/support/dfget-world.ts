import path from 'node:path'
import { stopResident } from './cli-run.ts'
import { type OriginServer, startOriginServer } from './origin-server.ts'
import { startSystem, type TestSystem } from './system.ts'

/** What commands of one account need: an origin, a supernode, and a home whose resident peer they start. */
export type DfgetWorld = {
  readonly origin: OriginServer
  readonly system: TestSystem
  readonly home: string
}

export async function startDfgetWorld(): Promise<DfgetWorld> {
  const origin = await startOriginServer()
  const system = await startSystem({ freshMs: 60_000 })
  return { origin, system, home: path.join(system.directory, 'home') }
}

export async function stopDfgetWorld({ origin, system, home }: DfgetWorld): Promise<void> {
  await stopResident(home)
  await system.stop()
  await origin.close()
}
