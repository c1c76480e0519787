import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { RunSnapshot } from '../src/wire/local.ts'
import { type Registry, startRegistry } from './support/registry.ts'
import { type Image, makeImage, makeLayer } from './support/registry-images.ts'
import {
  assertPulls,
  obstacleToPull,
  type Runtime,
  type RuntimeClient,
  removeWithAll,
} from './support/runtime-client.ts'
import { openHosts } from './support/runtime-hosts.ts'
import { RUNTIMES } from './support/runtime-table.ts'

/**
 * skopeo and podman fail where one blob's answer breaks off: what they get in spite of a killed process they got in one answer. containerd and
 * dockerd would go on by themselves, and need not.
 */

const LENGTH_BYTES = 24 * 1024 ** 2
const TEST = { timeout: 60_000 }
const BREAK = /unexpected EOF|connection re(?:set|fused)|bad gateway|50[24]|registry-1\.docker\.io/i

type Begun = { readonly repository: string; readonly image: Image; readonly sentBytes: number }

for (const runtime of RUNTIMES) {
  const skip = obstacleToPull(runtime)
  describe(`kill -9 in the middle of a pull by ${runtime.name}`, { skip }, () => describeKills(runtime))
}

function describeKills(runtime: Runtime): void {
  let directory: string
  let registry: Registry
  let world: Awaited<ReturnType<typeof openHosts>>
  let hosts: Awaited<ReturnType<typeof world.start>>[]
  let clients: RuntimeClient[] = []

  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-real-'))
    registry = await startRegistry(path.join(directory, 'registry'))
    world = await openHosts(registry.address)
    hosts = await Promise.all([world.start(), world.start()])
    clients = await Promise.all(hosts.map(host => startOn(host, host.ip)))
  })
  after(async () => {
    await Promise.all(clients.map(client => client.stop()))
    await world?.stop()
    await registry?.stop()
    await removeWithAll(directory)
  })

  function startOn({ mirror }: { mirror: string }, name: string): Promise<RuntimeClient> {
    return runtime.start({ registry: registry.address, mirror, directory: path.join(directory, name) })
  }

  async function pushed(name: string): Promise<{ image: Image; repository: string; layer: string }> {
    const image = makeImage([makeLayer(name, LENGTH_BYTES)])
    const repository = `lib/${name}`
    await registry.push(repository, '1', image)
    registry.relay.forget()
    return { image, repository, layer: image.own.layers[0].digest }
  }

  /** The first host pulls, the registry has sent half of the layer, and the host's peer holds a part of that. */
  async function halfPulled(repository: string, layer: string) {
    const hold = registry.relay.hold(layer, LENGTH_BYTES / 2)
    const pull = clients[0].pull(repository, '1')
    await hold.reached
    const isBegun = ({ phase, heldBytes }: RunSnapshot) =>
      phase === 'receiving' && heldBytes > LENGTH_BYTES / 4
    const { tasks } = await hosts[0].account.when(tasks => tasks.some(isBegun))
    return { pull, hold, taskId: tasks.find(isBegun)!.taskId }
  }

  /** Of the layer the registry sends what nobody holds, `sentBytes` having gone before. */
  async function assertPullsRest({ repository, image, sentBytes }: Begun): Promise<void> {
    await assertPulls(clients[0], repository, image)
    const restBytes = registry.relay.blobBytes(image.own.layers[0].digest) - sentBytes
    assert.ok(restBytes > 0 && restBytes < LENGTH_BYTES * 0.75, `${restBytes} bytes`)
  }

  it(
    'of the resident peer is not noticed: dfdaemon goes on from the registry, where it stood',
    TEST,
    async () => {
      const { image, repository, layer } = await pushed('peer')
      const { pull, hold } = await halfPulled(repository, layer)
      await hosts[0].account.killPeer()
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
    await assertPulls(clients[1], repository, image)
    registry.relay.forget()
    // The last that the registry is asked.
    registry.relay.beforeLastHead([image.own.config.digest, layer], () => registry.kill())
    try {
      await assertPulls(clients[0], repository, image)
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
    assert.match(said, BREAK)
    const sentBytes = registry.relay.blobBytes(layer)
    await registry.restart()
    await assertPullsRest({ repository, image, sentBytes })
  })

  const fate = runtime.fallsBack && runtime.resumes ? 'goes on at the registry' : 'fails'
  it(`of dfdaemon ${fate}, and the next pull goes on with what the peer holds`, TEST, async () => {
    const { image, repository, layer } = await pushed('dfdaemon')
    const { pull, hold, taskId } = await halfPulled(repository, layer)
    await hosts[0].killDfdaemon()
    const { isDone, said } = await pull
    assert.equal(isDone, fate !== 'fails', said)
    if (isDone) {
      await clients[0].check(repository, '1', image)
      // In its place one that has nothing yet.
      await clients[0].stop()
      clients[0] = await startOn(hosts[0], 'again')
    } else {
      assert.match(said, BREAK)
    }
    const sentBytes = registry.relay.blobBytes(layer)
    hold.release()
    await hosts[0].restartDfdaemon()
    await assertPullsRest({ repository, image, sentBytes })
    const { tasks } = (await hosts[0].account.status())!
    const local = tasks.find(task => task.taskId === taskId)?.bytes.local ?? 0
    assert.ok(local > LENGTH_BYTES / 4, `${local} bytes of the peer's own`)
  })
}
