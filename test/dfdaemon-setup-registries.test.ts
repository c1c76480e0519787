import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { type DfdaemonWorld, registryAt, startDfdaemonWorld } from './support/dfdaemon-world.ts'
import { obstacleTo } from './support/programs.ts'
import { type Registry, startRegistry } from './support/registry.ts'
import { type Image, makeImage, makeLayer } from './support/registry-images.ts'
import type { RuntimeClient, RuntimePlace } from './support/runtime-client.ts'
import { podmanClient } from './support/runtime-podman.ts'
import { skopeoClient } from './support/runtime-skopeo.ts'
import { startTokenServer, type TokenServer } from './support/token-server.ts'

/** Several registries for podman and skopeo, with the file that `dfdaemon setup` writes: an image of each has the same name, and other content. */

const TEST = { timeout: 60_000 }
const ALICE = { name: 'alice', password: 'a-password-of-alice', repositories: ['lib/app'] }
const KINDS = ['usual', 'listed', 'guarded'] as const

type Kind = (typeof KINDS)[number]

const images = Object.fromEntries(KINDS.map(kind => [kind, makeImage([makeLayer(kind, 100_000)])])) as Record<
  Kind,
  Image
>

describe('registries that podman and skopeo name in the path', {
  skip: obstacleTo(['docker-registry']),
}, () => {
  let directory: string
  let tokens: TokenServer
  let registries: Record<Kind, Registry>
  let world: DfdaemonWorld

  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-names-'))
    tokens = await startTokenServer([ALICE])
    const [usual, listed, guarded] = await Promise.all(
      KINDS.map(kind => startRegistry(path.join(directory, kind), kind === 'guarded' ? tokens : null)),
    )
    registries = { usual, listed, guarded }
    for (const kind of KINDS) await registries[kind].push('lib/app', '1', images[kind])
    const entries = [listed, guarded].map(
      ({ address }) => [address, registryAt(`http://${address}`)] as const,
    )
    world = await startDfdaemonWorld(() => ({
      mirror: { usual: registryAt(`http://${usual.address}`), registries: new Map(entries) },
    }))
    world.fetcher.script = async download => {
      const answer = await fetch(download.order.url)
      const content = Buffer.from(await answer.arrayBuffer())
      await download.grow(content)
      await download.complete(content.length)
    }
  })
  after(async () => {
    await world?.stop()
    await Promise.all(Object.values(registries ?? {}).map(registry => registry.stop()))
    await tokens?.stop()
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  })
  beforeEach(() => world.fetcher.downloads.splice(0))

  const clients: readonly {
    name: 'skopeo' | 'podman'
    start(place: RuntimePlace): Promise<RuntimeClient>
  }[] = [
    { name: 'skopeo', start: skopeoClient },
    { name: 'podman', start: podmanClient },
  ]
  for (const { name, start } of clients) {
    const options = { ...TEST, skip: obstacleTo([name], { root: name === 'podman' }) }

    async function pullFrom(kind: Kind, credentials?: string): Promise<void> {
      const { address } = registries[kind]
      const place = {
        registry: address,
        mirror: `127.0.0.1:${world.daemon.port}`,
        directory: path.join(directory, name, kind),
      }
      const client = await start(place)
      const { isDone, said } = await client.pull('lib/app', '1', credentials)
      assert.ok(isDone, said)
      await client.check('lib/app', '1', images[kind])
      await client.stop()
    }

    const fetched = () => world.fetcher.downloads.map(({ order }) => order.url).sort()
    const blobsOf = (kind: Kind) =>
      [images[kind].own.config, ...images[kind].own.layers].map(
        ({ digest }) => `http://${registries[kind].address}/v2/lib/app/blobs/${digest}`,
      )

    it(`${name} gets from each registry its own image, through dfdaemon`, options, async () => {
      await pullFrom('usual')
      await pullFrom('listed')
      assert.deepEqual(fetched(), [...blobsOf('usual'), ...blobsOf('listed')].sort())
    })

    it(`${name} gets from one that wants a token the image past dfdaemon`, options, async () => {
      await pullFrom('guarded', `${ALICE.name}:${ALICE.password}`)
      assert.deepEqual(fetched(), [])
    })
  }
})
