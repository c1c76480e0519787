import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import type { RunSnapshot } from '../src/wire/local.ts'
import { type Cluster, startCluster } from './support/cluster.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import type { Account, CommandOutcome } from './support/processes.ts'
import { sha256OfFile } from './support/system.ts'

const MIB = 1024 ** 2
const LENGTH_BYTES = 24 * MIB + 5
/** Slow enough for the file to have a middle. */
const RATE = 6 * MIB
const PEERS = 3
/** How many may read the origin at once when no supernode is left, and what each may have asked for in vain. */
const ORIGIN_READERS = 3
const TEST = { timeout: 90_000 }

describe('a cluster that loses its parts', () => {
  let origin: OriginServer
  let cluster: Cluster
  let file: ServedFile
  before(async () => {
    origin = await startOriginServer()
  })
  after(() => origin.close())
  beforeEach(async () => {
    cluster = await startCluster({ zones: 1, supernodesPerZone: 2 })
    file = origin.serve('/file', { lengthBytes: LENGTH_BYTES, seed: 5, rateBytesPerSecond: RATE })
  })
  afterEach(() => cluster.stop())

  const holdsSomething = (tasks: readonly RunSnapshot[]) => tasks.some(task => task.heldBytes > 0)
  const isHalfWay = (tasks: readonly RunSnapshot[]) => tasks.some(task => task.heldBytes >= LENGTH_BYTES / 2)

  function begin(): { accounts: Account[]; outcomes: Promise<CommandOutcome[]> } {
    const accounts = Array.from({ length: PEERS }, () => cluster.account(1))
    return { accounts, outcomes: Promise.all(accounts.map(account => account.dfget(file.url).outcome)) }
  }

  async function assertComplete(
    accounts: readonly Account[],
    outcomes: readonly CommandOutcome[],
  ): Promise<void> {
    const expected = await origin.contentSha256(file.path)
    for (const [i, { status, message }] of outcomes.entries()) {
      assert.deepEqual([status, message], [0, undefined])
      assert.equal(await sha256OfFile(accounts[i].output), expected)
    }
  }

  it('the managing node: nobody notices, neither a download under way nor the next one', TEST, async () => {
    const { accounts, outcomes } = begin()
    await accounts[0].when(isHalfWay)
    await cluster.killManager()
    await assertComplete(accounts, await outcomes)
    const next = origin.serve('/next', { lengthBytes: MIB, seed: 6 })
    const { status, bytes } = await accounts[0].dfget(next.url).outcome
    assert.equal(status, 0)
    assert.equal(bytes.supernode, MIB)
  })

  it('the supernode of a download: it goes on at the other one with what it has', TEST, async () => {
    const { accounts, outcomes } = begin()
    await Promise.all(accounts.map(account => account.when(holdsSomething)))
    const { tasks } = await accounts[0].when(isHalfWay)
    const lost = cluster.supernodes.find(({ node }) => node === tasks[0].node)!
    await lost.kill()
    const asked = file.requests.length
    const ended = await outcomes
    await assertComplete(accounts, ended)
    for (const [i, account] of accounts.entries()) {
      const { tasks } = (await account.status())!
      assert.notEqual(tasks[0].node, lost.node)
      const { bytes } = ended[i]
      assert.equal(bytes.peers + bytes.supernode + bytes.origin, LENGTH_BYTES, 'nothing was fetched twice')
    }
    const [start] = file.requests
      .slice(asked)
      .flatMap(({ headers }) => /^bytes=([1-9]\d*)-$/.exec(headers.range ?? '')?.[1] ?? [])
    assert.ok(Number(start) > 0, 'the next one begins with what is lacking')
    await lost.restart()
    for (const account of accounts) assert.notEqual((await account.status())!.tasks[0].node, lost.node)
  })

  it('all supernodes: the origin is read by a few for all', TEST, async () => {
    const { accounts, outcomes } = begin()
    await accounts[0].when(isHalfWay)
    const sentBytes = file.bodyBytesSent
    for (const supernode of cluster.supernodes) await supernode.kill()
    await assertComplete(accounts, await outcomes)
    const moreBytes = file.bodyBytesSent - sentBytes
    assert.ok(moreBytes <= ORIGIN_READERS * LENGTH_BYTES, `${moreBytes} bytes more`)
  })
})
