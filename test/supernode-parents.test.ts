import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { sleep } from '../src/core/clock.ts'
import { digestOf } from '../src/core/digest.ts'
import type { DragonflyError } from '../src/core/error.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import type { Peer } from '../src/peer/peer.ts'
import type { Supernode } from '../src/supernode/supernode.ts'
import { startGuardedOrigin } from './support/guarded-origin.ts'
import { type KeptLog, keptLog } from './support/kept-log.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { nodeOf, sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

/** A supernode with a parent fills from there, and reads the origin only where no parent is left. */

const MIB = 1024 * 1024
const LENGTH = 24 * MIB + 17
const TEST = { timeout: 60_000 }
const SECRET = randomBytes(32)

let origin: OriginServer
let system: TestSystem
let root: Supernode
let file: ServedFile

beforeEach(async () => {
  origin = await startOriginServer()
  file = origin.serve('/file', { lengthBytes: LENGTH, seed: 3 })
  system = await startSystem({ clusterSecret: SECRET, zone: 'one' })
  root = system.supernode
})
afterEach(async () => {
  await system.stop()
  await origin.close()
})

const childOf = (...parents: Supernode[]) =>
  system.startSupernode({ parents: parents.map(addressOf), zone: 'two' })
const addressOf = ({ port }: Supernode) => ({ host: '127.0.0.1', port })

async function downloadAt(supernode: Supernode, url = file.url, peer?: Peer) {
  return system.download(peer ?? (await system.startPeer()), url, { nodes: [nodeOf(supernode)] })
}

/** Until a peer holds something, and not everything. */
async function isHalfWay(peer: Peer): Promise<void> {
  const held = () => Math.max(0, ...peer.status().tasks.map(({ heldBytes }) => heldBytes))
  while (held() < LENGTH / 4) await sleep(systemClock, 5)
  assert.ok(held() < LENGTH)
}

async function assertRight({ path, bytes }: Awaited<ReturnType<typeof downloadAt>>): Promise<void> {
  assert.equal(await sha256OfFile(path), await origin.contentSha256(file.path))
  assert.equal(bytes.origin, 0)
}

describe('a supernode with a parent', () => {
  it('fills from it, so that the origin is read once for all zones, and each zone once', TEST, async () => {
    const child = await childOf(root)
    const downloads = [root, root, child, child].map(supernode => downloadAt(supernode))
    for (const result of await Promise.all(downloads)) await assertRight(result)
    assert.equal(origin.bodyBytesSent, LENGTH)
    assert.deepEqual([root.originBytes, child.originBytes], [LENGTH, 0])
  })

  it('gives to its own peers what it has while the parent still fills', TEST, async () => {
    file.set({ rateBytesPerSecond: 8 * MIB })
    const child = await childOf(root)
    const peer = await system.startPeer()
    const downloading = downloadAt(child, file.url, peer)
    await isHalfWay(peer)
    assert.ok(origin.bodyBytesSent < LENGTH)
    await assertRight(await downloading)
    assert.equal(origin.requests.length, 1)
  })

  for (const [name, behaviour] of Object.entries({
    'small content': { lengthBytes: 1000 },
    'empty content': { lengthBytes: 0 },
    'content of unknown length': { lengthBytes: 9 * MIB + 1, framing: 'chunked' },
    'content without a validator': { etag: null, hasLastModified: false },
  } as const)) {
    it(`takes ${name} from it too`, TEST, async () => {
      file.set(behaviour)
      const child = await childOf(root)
      await assertRight(await downloadAt(child))
      assert.deepEqual([child.originBytes, origin.requestCount('GET')], [0, 1])
    })
  }

  it('goes through several levels', TEST, async () => {
    const middle = await childOf(root)
    const leaf = await childOf(middle)
    const downloads = [leaf, middle, root].map(supernode => downloadAt(supernode))
    for (const result of await Promise.all(downloads)) await assertRight(result)
    assert.equal(origin.bodyBytesSent, LENGTH)
  })

  it('fills from it without a common secret too, as a stranger that offers nothing', TEST, async () => {
    const child = await system.startSupernode({ parents: [addressOf(root)], clusterSecret: null })
    for (const result of await Promise.all([root, child].map(at => downloadAt(at)))) await assertRight(result)
    assert.equal(origin.bodyBytesSent, LENGTH)
  })

  it('changes to the next parent when one is lost, with what it has', TEST, async () => {
    file.set({ rateBytesPerSecond: 8 * MIB })
    const parents = [await childOf(root), await childOf(root)]
    const child = await childOf(...parents)
    const keeper = downloadAt(root)
    const peer = await system.startPeer()
    const downloading = downloadAt(child, file.url, peer)
    await isHalfWay(peer)
    const asked = parents.filter(({ sentBytes }) => sentBytes > 0)
    assert.equal(asked.length, 1)
    await asked[0].stop()
    await assertRight(await downloading)
    await assertRight(await keeper)
    assert.equal(child.originBytes, 0)
  })

  it('reads the rest from the origin when the last parent is lost', TEST, async () => {
    file.set({ rateBytesPerSecond: 8 * MIB })
    const child = await childOf(root)
    const peer = await system.startPeer()
    const downloading = downloadAt(child, file.url, peer)
    await isHalfWay(peer)
    await system.stopSupernode()
    await assertRight(await downloading)
    assert.ok(child.originBytes > 0)
    assert.ok(child.originBytes < LENGTH, `${child.originBytes}`)
  })

  it('reads the origin where no parent answers', TEST, async () => {
    const child = await childOf(root)
    await system.stopSupernode()
    await assertRight(await downloadAt(child))
    assert.equal(child.originBytes, LENGTH)
  })

  it('hears the origin’s refusal from it', TEST, async () => {
    file.set({ refusal: { status: 404 } })
    const child = await childOf(root)
    await assert.rejects(downloadAt(child), { code: 'ORIGIN_NOT_FOUND' })
    assert.equal(child.originBytes, 0)
  })

  it('takes a new version from it when the content at the origin changes', TEST, async () => {
    const child = await childOf(root)
    await downloadAt(child)
    file.set({ seed: 4 })
    await assertRight(await downloadAt(child))
    assert.equal(child.originBytes, 0)
  })
})

describe('private content at a supernode with a parent', () => {
  it('goes to whom the origin lets in, and of others not one byte to either', TEST, async t => {
    const guarded = await startGuardedOrigin({
      lengthBytes: 3 * MIB,
      judge: ({ headers }) =>
        headers.authorization === 'Bearer good' ? { to: 'content' } : { to: 'refusal', status: 401 },
    })
    t.after(() => guarded.close())
    const log = keptLog()
    const child = await system.startSupernode({ parents: [addressOf(root)], log, freshMs: 60_000 })
    const asked = async (word: string, at: Supernode) =>
      system.download(await system.startPeer({ log }), `${guarded.url}/file`, {
        headers: [['Authorization', `Bearer ${word}`]],
        nodes: [nodeOf(at)],
      })
    const isRefused = async (at: Supernode) => {
      const before = [root.sentBytes, child.sentBytes]
      await assert.rejects(asked('bad-word', at), { code: 'ORIGIN_UNAUTHORIZED' })
      assert.deepEqual([root.sentBytes, child.sentBytes], before)
    }
    await asked('good', root)
    // Nothing is at the child yet, so the parent decides; later the child.
    await isRefused(child)
    const expected = digestOf(createHash('sha256').update(guarded.content).digest())
    const result = await asked('good', child)
    assert.deepEqual([result.digest, result.bytes.origin], [expected, 0])
    await isRefused(child)
    await isRefused(root)
    assert.equal(child.originBytes, 0)
    assert.ok(!/bad-word|Bearer/.test(log.text))
  })
})

describe('supernodes that are parents of each other', () => {
  async function ring(count: number): Promise<{ members: Supernode[]; log: KeptLog }> {
    const ports: { host: string; port: number }[] = []
    const members: Supernode[] = []
    const log = keptLog()
    for (let i = 0; i < count; i++) {
      ports.push({ host: '127.0.0.1', port: 1 })
      // The list is filled in when all ports are known.
      members.push(await system.startSupernode({ parents: [ports[i]], log }))
    }
    members.forEach((_, i) => {
      ports[i].port = members[(i + 1) % count].port
    })
    return { members, log }
  }

  for (const count of [1, 2, 3, 5]) {
    it(`end at the origin, ${count} in a ring, asked at one or at all at once`, TEST, async () => {
      const { members, log } = await ring(count)
      await assertRight(await downloadAt(members[0]))
      const other = origin.serve('/other', { lengthBytes: LENGTH, seed: 3 })
      const all = await Promise.allSettled(members.map(member => downloadAt(member, other.url)))
      for (const one of all) {
        if (one.status === 'rejected') throw one.reason as DragonflyError
        await assertRight(one.value)
      }
      const messages = log.lines.map(({ message }) => message)
      assert.ok(messages.includes('supernode declined'), 'the one that would wait for itself says so')
    })
  }
})
