import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { obstacleTo } from './support/programs.ts'
import { type Registry, startRegistry } from './support/registry.ts'
import { type Image, makeImage, makeLayer } from './support/registry-images.ts'
import { type RuntimeClient, removeWithAll } from './support/runtime-client.ts'
import { startThreeHosts } from './support/runtime-hosts.ts'
import { podmanClient } from './support/runtime-podman.ts'

/** podman fails where one blob's answer breaks off: what it gets in spite of a killed process it got in one answer. */

const LENGTH_BYTES = 24 * 1024 ** 2
const TEST = { timeout: 60_000 }

const skip = obstacleTo(['docker-registry', 'podman'], { root: true })

describe('kill -9 in the middle of a pull', { skip }, () => {
  let directory: string
  let registry: Registry
  let world: Awaited<ReturnType<typeof startThreeHosts>>
  let clients: RuntimeClient[] = []

  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-real-'))
    registry = await startRegistry(path.join(directory, 'registry'))
    world = await startThreeHosts(registry.address)
    clients = await Promise.all(
      world.hosts.map(({ ip, mirror }) =>
        podmanClient({ registry: registry.address, mirror, directory: path.join(directory, ip) }),
      ),
    )
  })
  after(async () => {
    await Promise.all(clients.map(client => client.stop()))
    await world?.stop()
    await registry?.stop()
    await removeWithAll(directory)
  })

  async function pushed(name: string): Promise<{ image: Image; repository: string; layer: string }> {
    const image = makeImage([makeLayer(name, LENGTH_BYTES)])
    const repository = `lib/${name}`
    await registry.push(repository, '1', image)
    registry.relay.forget()
    return { image, repository, layer: image.own.layers[0].digest }
  }

  async function assertPulled(client: RuntimeClient, repository: string, image: Image): Promise<void> {
    const { isDone, said } = await client.pull(repository, '1')
    assert.ok(isDone, said)
    await client.check(repository, '1', image)
  }

  /** The first host pulls, the registry has sent half of the layer, and the host's peer holds a part of that. */
  async function halfPulled(repository: string, layer: string) {
    const hold = registry.relay.hold(layer, LENGTH_BYTES / 2)
    const pull = clients[0].pull(repository, '1')
    await hold.reached
    await world.hosts[0].account.when(tasks =>
      tasks.some(({ phase, heldBytes }) => phase !== 'done' && heldBytes > LENGTH_BYTES / 4),
    )
    return { pull, hold }
  }

  it(
    'of the resident peer is not noticed: dfdaemon goes on from the registry, where it stood',
    TEST,
    async () => {
      const { image, repository, layer } = await pushed('peer')
      const { pull, hold } = await halfPulled(repository, layer)
      await world.hosts[0].account.killPeer()
      const { isDone, said } = await pull
      hold.release()
      assert.ok(isDone, said)
      await clients[0].check(repository, '1', image)
      const rest = registry.relay.requests.filter(({ digest, range }) => digest === layer && range !== null)
      assert.equal(rest.length, 1)
      assert.match(rest[0].range!, /^bytes=[1-9]\d*-/)
    },
  )

  it('of the supernode is not noticed', TEST, async () => {
    const { image, repository, layer } = await pushed('supernode')
    const { pull, hold } = await halfPulled(repository, layer)
    await world.processes.killSupernode()
    hold.release()
    const { isDone, said } = await pull
    assert.ok(isDone, said)
    await clients[0].check(repository, '1', image)
    await world.processes.restartSupernode()
  })

  it('of the registry is not noticed where the swarm holds the layer', TEST, async () => {
    const { image, repository, layer } = await pushed('held')
    await assertPulled(clients[1], repository, image)
    registry.relay.forget()
    // The last that the registry is asked: podman has the configuration already.
    registry.relay.beforeHead(layer, () => registry.kill())
    try {
      await assertPulled(clients[2], repository, image)
    } finally {
      await registry.restart()
    }
    assert.equal(registry.relay.blobBytes(layer), 0)
  })

  it('of the registry fails where nobody else holds the rest, and the next pull goes on', TEST, async () => {
    const { image, repository, layer } = await pushed('lost')
    const { pull, hold } = await halfPulled(repository, layer)
    await registry.kill()
    hold.release()
    const { isDone, said } = await pull
    assert.ok(!isDone)
    assert.match(said, /unexpected EOF|connection reset|bad gateway|502/i)
    await registry.restart()
    registry.relay.forget()
    await assertPulled(clients[0], repository, image)
    const sent = registry.relay.blobBytes(layer)
    assert.ok(sent > 0 && sent < LENGTH_BYTES * 0.75, `${sent} bytes`)
  })
})
