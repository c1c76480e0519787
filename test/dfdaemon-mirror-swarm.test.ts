import assert from 'node:assert/strict'
import path from 'node:path'
import { after, it } from 'node:test'
import { eventsOf } from '../src/cli/peer-answer.ts'
import { askPeer } from '../src/cli/peer-process.ts'
import { DragonflyError } from '../src/core/error.ts'
import type { ContentFetcher } from '../src/dfdaemon/options.ts'
import { silentLog } from '../src/ops/log.ts'
import { systemClock } from '../src/ops/system-clock.ts'
import { openHome } from '../src/peer/home.ts'
import { startLocalServer } from '../src/peer/local-server.ts'
import type { Peer } from '../src/peer/peer.ts'
import { startFakeRegistry } from './support/dfdaemon-registry.ts'
import { ask, bytesOf, type DfdaemonWorld, registryAt, startDfdaemonWorld } from './support/dfdaemon-world.ts'
import { startSystem } from './support/system.ts'

/** Daemons on hosts of their own, with the product's peers and supernode. */

const MIB = 1024 * 1024

const registry = await startFakeRegistry()
const system = await startSystem({ freshMs: 60_000 })
const stops: (() => Promise<unknown>)[] = []
after(async () => {
  for (const stop of stops.reverse()) await stop()
  await system.stop()
  await registry.close()
})

type Host = { readonly world: DfdaemonWorld; readonly peer: Peer; stopPeer(): Promise<void> }

async function startHost(name: string): Promise<Host> {
  const peer = await system.startPeer()
  const home = await openHome(path.join(system.directory, name))
  const options = { peer, socketPath: home.socket, clock: systemClock, log: silentLog, onStop() {} }
  const stopServer = await startLocalServer(options)
  const fetcher: ContentFetcher = {
    async *fetch(order, signal) {
      const body = { ...order, tag: '', nodes: [system.node] }
      const answer = await askPeer(home, { method: 'POST', path: '/downloads', body, signal })
      if (answer === null) throw new DragonflyError('PEER_ABSENT', 'there is no peer')
      try {
        yield { event: 'complete', result: yield* eventsOf(answer) }
      } finally {
        answer.destroy()
      }
    },
  }
  const world = await startDfdaemonWorld(() => ({
    mirror: { usual: registryAt(registry.url), registries: new Map() },
    fetcher,
    clock: systemClock,
  }))
  stops.push(world.stop, stopServer)
  return { world, peer, stopPeer: stopServer }
}

const hosts = await Promise.all(['home-a', 'home-b', 'home-c'].map(startHost))
const portOf = ({ world }: Host) => world.daemon.port

it('many hosts and two repositories read a layer from the registry once', async () => {
  const content = bytesOf(24 * MIB + 3)
  const digest = registry.addBlob(content)
  const before = registry.blobBytes
  const got = await Promise.all(
    hosts.flatMap(host => ['one', 'two'].map(name => ask(portOf(host), `/v2/${name}/blobs/${digest}`))),
  )
  for (const { status, body } of got) {
    assert.equal(status, 200)
    assert.ok(body.equals(content))
  }
  assert.equal(registry.blobBytes - before, content.length)
  const from = 20 * MIB
  const part = await ask(portOf(hosts[0]), `/v2/one/blobs/${digest}`, {
    headers: { Range: `bytes=${from}-` },
  })
  assert.equal(part.status, 206)
  assert.ok(part.body.equals(content.subarray(from)))
  assert.equal(registry.blobBytes - before, content.length)
  const { body } = await ask(portOf(hosts[0]), '/metrics')
  assert.match(body.toString(), /requests_total\{kind="blob",status="2xx"\} 3\n/)
  assert.match(body.toString(), /access_decisions_total\{decision="let-in"\} 2\n/)
  const served = 2 * content.length + part.body.length
  assert.ok(body.includes(`served_bytes_total{source="swarm"} ${served}\n`), 'all came from the swarm')
  for (const { world } of hosts) assert.ok(!world.log.text.includes('the upstream is read instead'))
})

it('who begins in the middle and who begins at the first byte are served from one download', async () => {
  const content = bytesOf(40 * MIB, 4)
  const blob = `/v2/app/blobs/${registry.addBlob(content)}`
  const before = registry.blobBytes
  const from = 30 * MIB + 1
  const [part, whole] = await Promise.all([
    ask(portOf(hosts[1]), blob, { headers: { Range: `bytes=${from}-` } }),
    ask(portOf(hosts[1]), blob),
  ])
  assert.equal(part.headers['content-range'], `bytes ${from}-${content.length - 1}/${content.length}`)
  assert.ok(part.body.equals(content.subarray(from)))
  assert.ok(whole.body.equals(content))
  assert.equal(registry.blobBytes - before, content.length)
})

it('a caller whom the registry refuses gets nothing of what the swarm has', async () => {
  const content = bytesOf(3 * MIB, 2)
  const digest = registry.addBlob(content)
  registry.allowed.set('guarded', 'Bearer good')
  const blob = `/v2/guarded/blobs/${digest}`
  const letIn = await ask(portOf(hosts[0]), blob, { headers: { Authorization: 'Bearer good' } })
  assert.ok(letIn.body.equals(content))
  for (const host of hosts) {
    const refused = await ask(portOf(host), blob, { headers: { Authorization: 'Bearer bad' } })
    assert.equal(refused.status, 401)
    assert.ok(!refused.body.includes(content.subarray(0, 16)))
  }
  const before = registry.blobBytes
  const other = await ask(portOf(hosts[1]), blob, { headers: { Authorization: 'Bearer good' } })
  assert.ok(other.body.equals(content))
  assert.equal(registry.blobBytes - before, 0)
})

it('a layer goes on when the peer ends in the middle', async () => {
  const content = bytesOf(48 * MIB, 3)
  const digest = registry.addBlob(content)
  const [, , host] = hosts
  const got = await ask(portOf(host), `/v2/app/blobs/${digest}`, {
    onResponse: response => response.once('data', () => void host.stopPeer()),
  })
  assert.equal(got.status, 200)
  assert.ok(got.isWhole && got.body.equals(content))
  assert.ok(host.world.log.text.includes('the upstream is read instead'))
})
