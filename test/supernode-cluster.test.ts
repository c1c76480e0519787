import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type Clock, sleep } from '../src/core/clock.ts'
import type { DragonflyError } from '../src/core/error.ts'
import { rendezvousOrder } from '../src/core/rendezvous.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import type { Peer } from '../src/peer/peer.ts'
import type { ClusterOptions } from '../src/supernode/cluster.ts'
import { announcement, ControlPeer } from './support/control-peer.ts'
import { type KeptLog, keptLog } from './support/kept-log.ts'
import {
  CLUSTER_SECRET,
  CREDENTIAL,
  JOIN_TOKEN,
  type LeaseManager,
  startLeaseManager,
} from './support/lease-manager.ts'
import { type OriginServer, type ServedFile, startOriginServer } from './support/origin-server.ts'
import { nodeOf, sha256OfFile, startSystem, type TestSystem } from './support/system.ts'

/** A supernode joins a cluster once, and is a member from then on, whatever becomes of the managing node. */

const MIB = 1024 * 1024
const TEST = { timeout: 30_000 }

let manager: LeaseManager
let origin: OriginServer
let file: ServedFile
let log: KeptLog
let system: TestSystem | null

beforeEach(async () => {
  manager = await startLeaseManager()
  origin = await startOriginServer()
  file = origin.serve('/file', { lengthBytes: 5 * MIB, seed: 2 })
  log = keptLog()
  system = null
})
afterEach(async () => {
  ControlPeer.endAll()
  await system?.stop()
  await manager.close()
  await origin.close()
})

const cluster = (changes: Partial<ClusterOptions> = {}): ClusterOptions => ({
  managers: [manager.url],
  joinToken: JOIN_TOKEN,
  host: '127.0.0.1',
  ...changes,
})
const start = async (changes: Partial<ClusterOptions> = {}) => {
  system = await startSystem({ cluster: cluster(changes), log })
  return system
}
const hasLogged = (message: string) => log.lines.filter(line => line.message === message).length
const until = async (isReached: () => boolean) => {
  while (!isReached()) await sleep(systemClock, 5)
}
/** Whoever waits by it for as long as for a dead supernode waits for ever. */
const withoutLongTimers: Clock = {
  ...systemClock,
  schedule: (delayMs, action) => (delayMs < 1_000 ? systemClock.schedule(delayMs, action) : () => {}),
}
const clusterFile = ({ directory }: TestSystem) => path.join(directory, 'supernode', 'cluster.json')

describe('a supernode with a managing node', () => {
  it('joins with its token, says where it is, and hears in which zone', TEST, async () => {
    const { supernode } = await start()
    const join = await manager.next('POST', /\/join$/)
    const lease = await manager.next('PUT', /\/lease$/)
    assert.deepEqual(Object.keys(join.body), ['token', 'supernodeId'])
    assert.equal(join.body.token, JOIN_TOKEN)
    assert.equal(lease.path, `/api/v1/supernodes/${join.body.supernodeId}/lease`)
    assert.equal(lease.authorization, `Bearer ${CREDENTIAL}`)
    assert.deepEqual(lease.body.control, { host: '127.0.0.1', port: supernode.port })
    assert.deepEqual(lease.body.pieces, { host: '127.0.0.1', port: supernode.downloadPort })
    assert.equal(supernode.zone, 'zone-1')
  })

  it('renews the lease, reports its load, and hears what is new', TEST, async () => {
    const { supernode, startPeer, download } = await start()
    await download(await startPeer(), file.url)
    const isLoaded = ({ body }: { body: Record<string, unknown> }) => {
      const load = body.load as Record<string, number>
      return load.tasks === 1 && load.peers === 1 && load.sentBytesPerSecond > 0
    }
    await until(() => manager.requests.some(request => request.method === 'PUT' && isLoaded(request)))
    manager.lease = { ...manager.lease, zone: 'zone-2' }
    await until(() => supernode.zone === 'zone-2')
  })

  it(
    'fills from the parents that it is told, in the order in which their own peers come to them',
    TEST,
    async () => {
      const running = await start()
      const { supernode } = running
      const roots = [
        { id: 'root-1', supernode: await running.startSupernode({ cluster: null }) },
        { id: 'root-2', supernode: await running.startSupernode({ cluster: null }) },
      ]
      const parents = roots.map(root => ({
        id: root.id,
        control: { host: '127.0.0.1', port: root.supernode.port },
      }))
      const own = manager.requests[1].path.split('/').at(-2)!
      const itself = { id: own, control: { host: '127.0.0.1', port: supernode.port } }
      manager.lease = { ...manager.lease, parents: [itself, ...parents], zone: 'told' }
      await until(() => supernode.zone === 'told')
      const isEachUsed = () => roots.every(root => root.supernode.sentBytes > 0)
      // Which of the two it is follows from the URL, and that from the origin's port.
      for (let i = 0; i < 6 || !isEachUsed(); i++) {
        const { url } = origin.serve(`/file-${i}`, { lengthBytes: MIB, seed: i })
        const [first] = rendezvousOrder(announcement({ url }).taskId, roots, ({ id }) => id)
        const before = first.supernode.sentBytes
        await running.download(await running.startPeer(), url)
        assert.equal(first.supernode.sentBytes, before + MIB)
      }
      assert.equal(supernode.originBytes, 0)
    },
  )

  it('leaves when it stops', TEST, async () => {
    const { stopSupernode } = await start()
    await stopSupernode()
    const { path, authorization } = await manager.next('DELETE', /\/lease$/)
    assert.match(path, /^\/api\/v1\/supernodes\/[0-9a-f]+\/lease$/)
    assert.equal(authorization, `Bearer ${CREDENTIAL}`)
  })

  it('needs no token again, nor the managing node', TEST, async () => {
    const running = await start()
    const { restartSupernode, supernode } = running
    const { mode } = await stat(clusterFile(running))
    assert.equal(mode & 0o777, 0o600)
    const { supernodeId } = (await manager.next('POST', /\/join$/)).body
    const tokenBefore = await tokenAt(nodeOf(supernode))
    await restartSupernode({ cluster: cluster({ joinToken: null }) })
    const isOurs = ({ path }: { path: string }) => path.includes(String(supernodeId))
    assert.ok(manager.requests.slice(1).every(isOurs))
    assert.equal(manager.requests.filter(({ path }) => path.endsWith('/join')).length, 1)
    await manager.close()
    await restartSupernode({ cluster: cluster({ joinToken: null }) })
    assert.equal(await tokenAt(running.node), tokenBefore)
    assert.equal(running.supernode.zone, 'zone-1')
    await writeFile(path.join(running.directory, 'supernode', 'lease.json'), '{"version":1,"zone":7}')
    await restartSupernode({ cluster: cluster({ joinToken: null }) })
    assert.equal(running.supernode.zone, null)
  })

  it('goes on with what was said last while no managing node answers, and says so once', TEST, async () => {
    const { supernode, startPeer, download } = await start()
    manager.refusal = { status: 503, code: 'DATABASE_FAILED' }
    await until(() => hasLogged('no managing node answers, what was said last holds') === 1)
    await download(await startPeer(), file.url)
    const before = manager.requests.length
    await until(() => manager.requests.length >= before + 3)
    assert.equal(supernode.zone, 'zone-1')
    assert.equal(hasLogged('no managing node answers, what was said last holds'), 1)
  })

  it('asks the next managing node where one is dead', TEST, async () => {
    const dead = await startLeaseManager()
    await dead.close()
    const { supernode } = await start({ managers: [dead.url, manager.url] })
    assert.equal(supernode.zone, 'zone-1')
  })

  for (const [status, code] of [
    [401, 'CREDENTIAL_INVALID'],
    [403, 'CREDENTIAL_REFUSED'],
  ] as const) {
    it(`serves on when its credential is answered with ${status}, and logs one error`, TEST, async () => {
      const { startPeer, download } = await start()
      manager.refusal = { status, code }
      await until(() => hasLogged('lease refused, join again with a new token') === 1)
      const { path: downloaded } = await download(await startPeer(), file.url)
      assert.equal(await sha256OfFile(downloaded), await origin.contentSha256('/file'))
    })
  }

  const refused = (promise: Promise<unknown>) =>
    promise.then(
      () => assert.fail('this was to be refused'),
      (thrown: DragonflyError) => thrown,
    )

  it('does not start without a token, with a bad one, or with a damaged file', TEST, async () => {
    assert.equal((await refused(start({ joinToken: null }))).code, 'USAGE')
    manager.refusal = { status: 401, code: 'CREDENTIAL_INVALID' }
    const bad = await refused(start())
    assert.equal(bad.code, 'CREDENTIAL_INVALID')
    assert.ok(!`${bad.message}${bad.stack}`.includes(JOIN_TOKEN))
    manager.refusal = null
    const running = await start()
    for (const text of [`{"version":1,"credential":"${CREDENTIAL}"}`, CREDENTIAL, '{"version":2}']) {
      await writeFile(clusterFile(running), text)
      const damaged = await refused(running.restartSupernode())
      assert.equal(damaged.code, 'CONFIG_INVALID')
      assert.ok(!`${damaged.message}${damaged.stack}`.includes(CREDENTIAL))
    }
    await rm(clusterFile(running))
    await running.restartSupernode()
  })

  it('keeps its secrets in one file, and in no log, status or error', TEST, async () => {
    const { directory, node, startPeer, download } = await start()
    const peer = await startPeer({ log })
    await download(peer, file.url)
    await manager.close()
    await until(() => hasLogged('no managing node answers, what was said last holds') === 1)
    const said = [log.text, await (await fetch(`http://${node}/`)).text(), JSON.stringify(peer.status())]
    for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
      if (/\.(?:jsonl|log|json)$/.test(name) && !name.endsWith('supernode/cluster.json')) {
        said.push(readFileSync(path.join(directory, name), 'utf8'))
      }
    }
    for (const secret of [JOIN_TOKEN, CREDENTIAL, CLUSTER_SECRET]) {
      assert.ok(!said.some(text => text.includes(secret)))
    }
    const kept = await readFile(path.join(directory, 'supernode', 'cluster.json'), 'utf8')
    assert.ok(!kept.includes(JOIN_TOKEN))
  })
})

describe('a supernode that drains', () => {
  it('goes on with the tasks it has, and sends others to the next supernode at once', TEST, async () => {
    const running = await start()
    const { supernode } = running
    const next = await running.startSupernode({ cluster: null })
    const slow = origin.serve('/slow', { lengthBytes: 8 * MIB, seed: 4, rateBytesPerSecond: 4 * MIB })
    const nodes = [nodeOf(supernode), nodeOf(next)]
    const first = await running.startPeer()
    const downloading = running.download(first, slow.url, { nodes })
    await until(() => supernode.consumerCount === 1)
    manager.lease = { ...manager.lease, isDraining: true }
    await until(() => supernode.isDraining)

    const joining = running.download(await running.startPeer(), slow.url, { nodes })
    const hasty = await running.startPeer({ clock: withoutLongTimers })
    const other = await running.download(hasty, file.url, { nodes })
    assert.deepEqual([other.node, other.bytes.origin], [nodes[1], 0])
    for (const { node, bytes } of await Promise.all([downloading, joining])) {
      assert.deepEqual([node, bytes.origin], [nodes[0], 0])
    }
    assert.equal(slow.requests.length, 1)

    manager.lease = { ...manager.lease, isDraining: false }
    await until(() => !supernode.isDraining)
    const fresh = origin.serve('/fresh', { lengthBytes: MIB, seed: 5 })
    const back = await running.download(await running.startPeer(), fresh.url, { nodes })
    assert.equal(back.node, nodes[0])
  })

  it('leaves a download without another supernode to the origin, or to its failure', TEST, async () => {
    manager.lease = { ...manager.lease, isDraining: true }
    const { download, startPeer } = await start()
    const { bytes } = await download(await startPeer(), file.url)
    assert.equal(bytes.origin, 5 * MIB)
    const outcome = download(await startPeer(), file.url, { mayReadOrigin: false })
    await assert.rejects(outcome, { code: 'SUPERNODE_UNREACHABLE' })
  })
})

describe('the tokens of a cluster', () => {
  /** The status that a peer answers with. */
  const askPeer = async (peer: Peer, ip: string, token: string) => {
    const { taskId } = announcement({ url: file.url })
    const response = await fetch(`http://${ip}:${peer.uploadPort}/tasks/${taskId}`, {
      headers: { range: 'bytes=0-9', 'x-task-token': token, authorization: `Bearer ${token}` },
    })
    await response.arrayBuffer()
    return response.status
  }

  it('open pieces at the peers of all its supernodes, and of no other', TEST, async () => {
    const running = await start()
    const sister = await running.startSupernode({
      clusterSecret: Buffer.from(CLUSTER_SECRET, 'hex'),
      cluster: null,
    })
    const stranger = await running.startSupernode({ cluster: null })
    const ip = '127.0.0.200'
    const peer = await running.startPeer({ ip })
    await running.download(peer, file.url)
    const tokens = await Promise.all([running.supernode, sister, stranger].map(at => tokenAt(nodeOf(at))))
    assert.deepEqual(await Promise.all(tokens.map(token => askPeer(peer, ip, token))), [206, 206, 403])
  })
})

async function tokenAt(node: string): Promise<string> {
  const peer = await ControlPeer.greeted(node)
  const said = await peer.announce(announcement({ url: file.url }))
  assert.ok(said.type === 'layout')
  return said.token
}
