import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, it } from 'node:test'
import { startRegistry } from './support/registry.ts'
import { makeImage, makeLayer, uniqueBytes } from './support/registry-images.ts'
import { assertPulls, obstacleToPull, removeWithAll } from './support/runtime-client.ts'
import { openHosts } from './support/runtime-hosts.ts'
import { RUNTIMES } from './support/runtime-table.ts'

const LAYER_BYTES = 500 * 1000 ** 2
const EGRESS_FACTOR_MAX = 1.01
/** Reading, hashing and unpacking some gigabytes takes its time where other tests run. */
const TEST = { timeout: 180_000 }

const present = RUNTIMES.filter(runtime => obstacleToPull(runtime) === false)
const skip = present.length === 0 && 'no container runtime can run here'

describe('an image with a layer of 500 MB', { skip }, () => {
  it('comes to hosts with different runtimes at once, and the registry sends it once', TEST, async test => {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-real-'))
    test.after(() => removeWithAll(directory))
    const registry = await startRegistry(path.join(directory, 'registry'))
    test.after(() => registry.stop())
    const world = await openHosts(registry.address)
    test.after(() => world.stop())

    // Not compressed, so that the time goes into getting it.
    const image = makeImage([makeLayer('large', LAYER_BYTES, 'none')])
    await registry.push('lib/large', '1', image)
    const clients = await Promise.all(
      present.map(async runtime => {
        const { ip, mirror } = await world.start()
        const place = { registry: registry.address, mirror, directory: path.join(directory, ip) }
        const client = await runtime.start(place)
        test.after(() => client.stop())
        return client
      }),
    )
    registry.relay.forget()
    await Promise.all(clients.map(client => assertPulls(client, 'lib/large', image)))
    const [sent, unique] = [registry.relay.blobBytes(), uniqueBytes([image])]
    assert.ok(sent >= unique && sent <= unique * EGRESS_FACTOR_MAX, `${sent} bytes for ${unique}`)
  })
})
