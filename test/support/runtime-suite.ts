import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type BlobRelay, startBlobRelay } from './blob-relay.ts'
import { type Registry, startRegistry } from './registry.ts'
import { type Image, makeImage, makeIndex, makeLayer, uniqueBytes } from './registry-images.ts'
import {
  assertPulls,
  obstacleToPull,
  type Runtime,
  type RuntimeClient,
  removeWithAll,
} from './runtime-client.ts'
import { startThreeHosts } from './runtime-hosts.ts'

/** What holds of every container runtime that pulls through dfdaemon. */

const KIB = 1024
const MIB = 1024 ** 2
/** What the registry may send of blobs, over what there is. */
const EGRESS_FACTOR_MAX = 1.01
const TEST = { timeout: 60_000 }

type Kind = { readonly name: string; readonly image: () => Image }

const layers = (name: string, count: number, lengthBytes: number) =>
  Array.from({ length: count }, (_, number) => makeLayer(`${name}-${number}`, lengthBytes))

const KINDS: readonly Kind[] = [
  { name: 'one layer', image: () => makeImage(layers('one', 1, 3 * MIB)) },
  {
    name: 'five layers',
    image: () => makeImage([...layers('five', 4, MIB), makeLayer('five-raw', MIB, 'none')]),
  },
  { name: 'twenty layers', image: () => makeImage(layers('twenty', 20, 100 * KIB)) },
  { name: 'a layer of 24 MiB', image: () => makeImage(layers('big', 1, 24 * MIB)) },
  {
    name: 'an index of two architectures',
    image: () => makeIndex({ own: layers('own', 2, MIB), other: layers('other', 2, MIB) }),
  },
  { name: "Docker's own format", image: () => makeImage(layers('docker', 2, MIB), 'docker') },
]
const ZSTD: Kind = {
  name: 'layers compressed with zstd',
  image: () => makeImage([makeLayer('zstd-1', MIB, 'zstd'), makeLayer('zstd-2', MIB, 'zstd')]),
}

export function describeRuntime(runtime: Runtime): void {
  describe(`${runtime.name} through dfdaemon`, { skip: obstacleToPull(runtime) }, () => {
    let directory: string
    let registry: Registry
    let world: Awaited<ReturnType<typeof startThreeHosts>>
    /** In front of the first host's dfdaemon. */
    let front: BlobRelay
    let clients: RuntimeClient[] = []

    before(async () => {
      directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-real-'))
      registry = await startRegistry(path.join(directory, 'registry'))
      world = await startThreeHosts(registry.address)
      front = await startBlobRelay(world.hosts[0].mirror)
      clients = await Promise.all(
        world.hosts.map((host, number) =>
          runtime.start({
            registry: registry.address,
            mirror: number === 0 ? front.address : host.mirror,
            directory: path.join(directory, host.ip),
          }),
        ),
      )
    })
    after(async () => {
      await Promise.all(clients.map(client => client.stop()))
      await front?.stop()
      await world?.stop()
      await registry?.stop()
      await removeWithAll(directory)
    })

    function assertEgress(images: readonly Image[]): void {
      const [sent, unique] = [registry.relay.blobBytes(), uniqueBytes(images)]
      assert.ok(sent >= unique && sent <= unique * EGRESS_FACTOR_MAX, `${sent} bytes for ${unique}`)
    }

    for (const { name, image: imageOf } of runtime.readsZstd ? [...KINDS, ZSTD] : KINDS) {
      it(`gets ${name} on three hosts at once, and the registry sends each byte once`, TEST, async () => {
        const image = imageOf()
        const repository = `lib/${name.replaceAll(/\W/g, '').toLowerCase()}`
        await registry.push(repository, '1', image)
        registry.relay.forget()
        await Promise.all(clients.map(client => assertPulls(client, repository, image)))
        assertEgress([image])
      })
    }

    if (!runtime.readsZstd) {
      it('downloads zstd layers, and reads them or not, as without dfdaemon', TEST, async () => {
        const image = ZSTD.image()
        await registry.push('lib/zstd', '1', image)
        const place = { registry: registry.address, mirror: registry.address }
        const direct = await runtime.start({ ...place, directory: path.join(directory, 'direct') })
        try {
          const outcomes: boolean[] = []
          for (const client of [direct, clients[0]]) {
            const { isDone, said } = await client.pull('lib/zstd', '1')
            outcomes.push(isDone)
            // It unpacks what is complete and verified; of two things said in quick succession, the client may only hear the second.
            for (const { digest } of image.own.layers)
              assert.match(said, new RegExp(`(Download complete|Extracting).*${digest.slice(7, 19)}`))
          }
          assert.equal(outcomes[1], outcomes[0])
        } finally {
          await direct.stop()
        }
      })
    }

    it('gets a layer of two repositories from the registry once', TEST, async () => {
      const shared = makeLayer('shared', 2 * MIB)
      const first = makeImage([shared, makeLayer('first', KIB)])
      const second = makeImage([shared, makeLayer('second', KIB)])
      await registry.push('lib/first', '1', first)
      await registry.push('other/second', '1', second)
      registry.relay.forget()
      await Promise.all([
        assertPulls(clients[0], 'lib/first', first),
        assertPulls(clients[1], 'other/second', second),
        assertPulls(clients[2], 'lib/first', first),
      ])
      assertEgress([first, second])
    })

    if (runtime.resumes) {
      it('goes on with Range where an answer broke off', TEST, async () => {
        const image = makeImage(layers('broken', 1, 4 * MIB))
        const [{ digest, bytes }] = image.own.layers
        await registry.push('lib/broken', '1', image)
        front.cut(digest, 2 * MIB)
        front.forget()
        await assertPulls(clients[0], 'lib/broken', image)
        const asked = front.requests.filter(request => request.method === 'GET' && request.digest === digest)
        const [whole, rest] = asked
        assert.deepEqual([asked.length, whole.range, rest.status], [2, null, 206])
        const start = Number(/^bytes=(\d+)-/.exec(rest.range ?? '')?.[1])
        assert.ok(start > 0 && start <= 2 * MIB, `${rest.range}`)
        assert.equal(rest.bodyBytes, bytes.length - start)
      })
    }

    if (runtime.fallsBack) {
      it('gets the image from the registry itself where dfdaemon is down', TEST, async () => {
        const image = makeImage(layers('fallen', 2, MIB))
        await registry.push('lib/fallen', '1', image)
        await world.hosts[1].killDfdaemon()
        registry.relay.forget()
        await assertPulls(clients[1], 'lib/fallen', image)
        assertEgress([image])
      })
    }
  })
}
