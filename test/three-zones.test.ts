import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Cluster, startCluster } from './support/cluster.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import type { Account } from './support/processes.ts'
import { sha256OfFile } from './support/system.ts'

const MIB = 1024 ** 2
const ZONES = 3
const PEERS_PER_ZONE = 4
const LENGTH_BYTES = 32 * MIB

describe('three zones with two supernodes and four peers each', () => {
  let origin: OriginServer
  let cluster: Cluster
  before(async () => {
    origin = await startOriginServer()
    cluster = await startCluster({ zones: ZONES, supernodesPerZone: 2 })
  })
  after(async () => {
    await cluster.stop()
    await origin.close()
  })

  it('the file leaves the origin once, enters each zone once, and each zone meets at one of its supernodes', {
    timeout: 120_000,
  }, async () => {
    const file = origin.serve('/file', { lengthBytes: LENGTH_BYTES, seed: 8 })
    const accounts = Array.from({ length: ZONES * PEERS_PER_ZONE }, (_, i) => ({
      zone: 1 + (i % ZONES),
      account: cluster.account(1 + (i % ZONES)),
    }))
    const outcomes = await Promise.all(
      accounts.map(async ({ account, zone }) => ({
        zone,
        account,
        ...(await account.dfget(file.url).outcome),
      })),
    )
    const expected = await origin.contentSha256(file.path)
    for (const { status, message, account, bytes } of outcomes) {
      assert.deepEqual([status, message], [0, undefined])
      assert.equal(await sha256OfFile(account.output), expected)
      assert.equal(bytes.peers + bytes.supernode, LENGTH_BYTES)
    }
    assert.ok(file.bodyBytesSent <= 1.01 * LENGTH_BYTES, `the origin sent ${file.bodyBytesSent} bytes`)
    for (const [zone, nodes] of await nodesByZone(outcomes)) {
      assert.equal(nodes.size, 1, `zone ${zone} met at ${[...nodes]}`)
      const [node] = nodes
      assert.equal(cluster.supernodes.find(supernode => supernode.node === node)?.zone, zone)
    }
    // Peers are in the swarm of their own zone's supernode, so that nothing else crosses a border.
    const statuses = await Promise.all(cluster.supernodes.map(supernode => supernode.status()))
    const crossed = statuses.reduce((sum, { parentBytes }) => sum + parentBytes, 0)
    assert.ok(crossed >= (ZONES - 1) * LENGTH_BYTES, `${crossed} bytes crossed a border`)
    assert.ok(crossed <= 1.05 * (ZONES - 1) * LENGTH_BYTES, `${crossed} bytes crossed a border`)
  })
})

type Outcome = { readonly zone: number; readonly account: Account }

/** The supernodes at which the peers of each zone are. */
async function nodesByZone(outcomes: readonly Outcome[]): Promise<Map<number, Set<string | null>>> {
  const nodes = new Map<number, Set<string | null>>()
  for (const { zone, account } of outcomes) {
    const { tasks } = (await account.status())!
    const ofZone = nodes.get(zone) ?? new Set()
    nodes.set(zone, ofZone)
    for (const { node } of tasks) ofZone.add(node)
  }
  return nodes
}
