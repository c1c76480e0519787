import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { sleep } from '../src/core/clock.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import type { Peer } from '../src/peer/peer.ts'
import { type KeptLog, keptLog } from './support/kept-log.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { located, type ScriptedManager, startScriptedManager } from './support/scripted-manager.ts'
import { startSystem, type TestSystem } from './support/system.ts'

/** A supernode that is lost in the middle, and another one that takes over. */

const MIB = 1024 ** 2
const LENGTH_BYTES = 32 * MIB + 7
/** Slow enough for the file to have a middle, and for the other supernode to be needed. */
const RATE = 12 * MIB
const PEERS = 4
/** From the moment in which the channel is found closed. */
const PAUSE_MS_MAX = 2_000

describe('peers whose supernode is lost in the middle of a download', () => {
  let origin: OriginServer
  let first: TestSystem
  let second: TestSystem
  let manager: ScriptedManager
  let file: ServedFile
  let peers: { peer: Peer; log: KeptLog }[]
  before(async () => {
    origin = await startOriginServer()
  })
  after(() => origin.close())
  beforeEach(async () => {
    first = await startSystem()
    second = await startSystem()
    const groups = [...located([first.node]).groups, ...located([second.node]).groups]
    manager = await startScriptedManager(() => ({ body: located([], { groups }) }))
    file = origin.serve('/file', { lengthBytes: LENGTH_BYTES, seed: 11, rateBytesPerSecond: RATE })
    peers = await Promise.all(
      Array.from({ length: PEERS }, async () => {
        const log = keptLog()
        return { log, peer: await first.startPeer({ log }) }
      }),
    )
  })
  afterEach(async () => {
    await Promise.all([first.stop(), second.stop(), manager.close()])
  })

  const begin = () =>
    Promise.all(peers.map(({ peer }) => first.begin(peer, file.url, { nodes: [], managers: [manager.url] })))
  const until = async (isReached: () => boolean) => {
    while (!isReached()) await sleep(systemClock, 5)
  }

  it('go on at the next one with all that they hold, and stay there when the first comes back', {
    timeout: 60_000,
  }, async () => {
    const joined = await begin()
    const held = () => joined.map(({ run }) => run.snapshot().heldBytes)
    await until(() => Math.min(...held()) > LENGTH_BYTES / 4)
    assert.deepEqual(
      joined.map(({ run }) => run.snapshot().node),
      Array(PEERS).fill(first.node),
    )
    await first.stopSupernode()
    const before = held()
    assert.ok(Math.max(...before) < LENGTH_BYTES, 'the file still has a middle')
    await until(() => joined.every(({ run }) => run.snapshot().node === second.node))
    for (const [index, bytes] of held().entries()) assert.ok(bytes >= before[index])
    await first.restartSupernode()
    await until(() => joined.every(({ run }) => run.isOver))
    const expected = await origin.contentSha256(file.path)
    for (const { run, release } of joined) {
      const { bytes, node } = await run.done
      assert.equal(await run.contentDigest(), expected)
      assert.equal(bytes.origin + bytes.supernode + bytes.peers, LENGTH_BYTES, 'nothing was fetched twice')
      assert.equal(node, second.node)
      release()
    }
    assert.equal(first.supernode.consumerCount, 0, 'nobody has moved back')
    for (const { log } of peers) {
      const found = log.lines.filter(({ message }) => message === 'supernode found')
      const facts = found.map(({ facts }) => facts as { supernode: string; ms: number })
      assert.deepEqual(
        facts.map(({ supernode }) => supernode),
        [first.node, second.node],
      )
      assert.ok(facts[1].ms <= PAUSE_MS_MAX, `${facts[1].ms} ms until the next supernode`)
    }
    assert.equal(manager.asked.length, PEERS, 'nobody has asked again')
  })

  it('are a swarm at the next one at once, known from what they announce', { timeout: 60_000 }, async () => {
    const joined = await begin()
    await until(() => joined.every(({ run }) => run.snapshot().heldBytes > LENGTH_BYTES / 4))
    await first.stopSupernode()
    // The new one has nothing of its own, so that what comes from others is what it knows from announces.
    const fromPeers = () => joined.map(({ run }) => run.snapshot().bytes.peers)
    const before = fromPeers()
    await until(() => joined.every(({ run }) => run.snapshot().node === second.node))
    await Promise.all(joined.map(({ run }) => run.done))
    assert.ok(fromPeers().some((bytes, index) => bytes > before[index]))
    for (const { release } of joined) release()
  })
})
