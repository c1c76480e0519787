import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { formatHostPort } from '../src/core/host-port.ts'
import { seededRandom } from '../src/core/random.ts'
import { MetaStore } from '../src/peer/meta-store.ts'
import type { Peer } from '../src/peer/peer.ts'
import { SupernodeFinder } from '../src/peer/supernode-finder.ts'
import { taskIdFor } from './support/control-peer.ts'
import { type KeptLog, keptLog } from './support/kept-log.ts'
import { MovedClock } from './support/moved-clock.ts'
import { type OriginServer, startOriginServer } from './support/origin-server.ts'
import { located, type ScriptedManager, startScriptedManager } from './support/scripted-manager.ts'
import { type Answer, greet, startScriptedSupernode } from './support/scripted-supernode.ts'
import { startSystem, type TestSystem } from './support/system.ts'

/** How a download comes to its supernode, with a managing node that says what the test wants. */

const MIB = 1024 ** 2
const DEAD = ['127.0.0.1:1', '127.0.0.1:2']

describe('a peer that looks for its supernode', () => {
  let origin: OriginServer
  let system: TestSystem
  let manager: ScriptedManager
  let peer: Peer
  let log: KeptLog
  let clock: MovedClock
  let home: string
  let files = 0
  const silent: Server[] = []
  before(async () => {
    origin = await startOriginServer()
    system = await startSystem({ freshMs: 60_000 })
  })
  after(async () => {
    await system.stop()
    await origin.close()
  })
  beforeEach(async () => {
    manager = await startScriptedManager(() => ({ body: located([system.node]) }))
    log = keptLog()
    clock = new MovedClock()
    peer = await startPeer()
  })
  afterEach(async () => {
    await manager.close()
    for (const server of silent.splice(0)) server.close()
  })

  async function startPeer(): Promise<Peer> {
    home = path.join(system.directory, `home-${++files}`)
    return system.startPeer({ homeRoot: home, log, clock })
  }
  const meta = (name: string) => path.join(home, 'meta', `${name}.json`)
  const remembered = async (name: string) => JSON.parse(await readFile(meta(name), 'utf8'))

  /** Of new content; says where it came from. */
  async function download(request: { nodes?: string[]; managers?: string[]; mayReadOrigin?: boolean } = {}) {
    const file = origin.serve(`/file-${++files}`, { lengthBytes: MIB, seed: files })
    const asked = { nodes: [], managers: [manager.url], ...request }
    const { bytes, node } = await system.download(peer, file.url, asked)
    assert.equal(bytes.origin + bytes.supernode + bytes.peers, MIB)
    return { node, source: bytes.origin > 0 ? 'origin' : 'swarm' }
  }
  const FROM_SWARM = () => ({ node: system.node, source: 'swarm' })
  const FROM_ORIGIN = { node: null, source: 'origin' }

  /** A host that takes connections and never says a word, as a black hole does from the outside. */
  async function startSilent(): Promise<string> {
    const server = createServer(socket => socket.on('error', () => {}))
    silent.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const logged = (message: string) => log.lines.filter(line => line.message === message)

  it('asks the managing node at its first contact, says who it is, and remembers the answer', async () => {
    assert.deepEqual(await download(), FROM_SWARM())
    const [{ path: asked, body }] = manager.asked
    const { hostName, addresses } = body as { hostName: string; addresses: string[] }
    assert.equal(asked, '/api/v1/locate')
    assert.ok(hostName.length > 0)
    assert.match(String(addresses), /^127\.0\.0\.\d+$/)
    const { node, managers, supernodes } = {
      node: await remembered('node'),
      managers: await remembered('managers'),
      supernodes: await remembered('supernodes'),
    }
    assert.deepEqual([node.version, node.zone, node.idc, node.hostName], [1, 'idc', 'idc', hostName])
    assert.deepEqual(managers, { version: 1, managers: [manager.url] })
    assert.deepEqual(supernodes.groups, located([system.node]).groups)
    for (const name of ['node', 'managers', 'supernodes']) {
      assert.equal((await stat(meta(name))).mode & 0o777, 0o600)
    }
    const leftOvers = (await readdir(path.join(home, 'meta'))).filter(name => name.endsWith('.new'))
    assert.deepEqual(leftOvers, [])
  })

  it('asks nobody a second time, be the managing node named or not, dead or alive', async () => {
    await download()
    await download()
    assert.deepEqual(await download({ managers: [] }), FROM_SWARM())
    assert.equal(manager.asked.length, 1)
    await manager.close()
    assert.deepEqual(await download(), FROM_SWARM())
  })

  it('asks the managing nodes of another cluster, since those that it knows say nothing about that', async () => {
    await download()
    const other = await startScriptedManager(() => ({ body: located([system.node], { zone: 'other' }) }))
    await download({ managers: [other.url] })
    await other.close()
    assert.equal(other.asked.length, 1)
    assert.deepEqual(await remembered('managers'), { version: 1, managers: [other.url] })
  })

  it('refreshes an old answer in the background, and waits for it nowhere', async () => {
    await download()
    clock.moveOn(61_000)
    manager.answer = () => 'hang'
    assert.deepEqual(await download(), FROM_SWARM())
    await manager.whenAsked(2)
    assert.deepEqual(await download(), FROM_SWARM())
    assert.equal(manager.asked.length, 2, 'one question for all, and none for a while where it was in vain')
    clock.moveOn(20_000)
    await manager.whenAsked(2)
    manager.answer = () => ({ body: located([system.node], { zone: 'moved' }) })
    while ((await remembered('node')).zone !== 'moved') {
      clock.moveOn(20_000)
      await download()
    }
    assert.equal((await remembered('supernodes')).groups.length, 1)
  })

  it('says to supernodes in which zone it is, and on new channels where it is now', async () => {
    const supernode = await startScriptedSupernode()
    const zoneIn = async (zone: string, channel: number) => {
      manager.answer = () => ({ body: located([supernode.node], { zone }) })
      const { url } = origin.serve(`/zone-${++files}`, { lengthBytes: MIB })
      const managers = [manager.url]
      const { release } = await system.begin(peer, url, { nodes: [], managers })
      await supernode.when(({ channels }) => channels[channel]?.heard.length === 2)
      release()
      await supernode.when(({ channels }) => channels[channel].socket.readyState === 3)
      const [hello] = supernode.channels[channel].heard
      return hello.type === 'hello' && hello.zone
    }
    assert.equal(await zoneIn('first', 0), 'first')
    for (const name of ['node', 'managers', 'supernodes']) await rm(meta(name))
    assert.equal(await zoneIn('second', 1), 'second')
    await supernode.close()
  })

  it('asks exactly once more when all are dead, and goes to those that are new', async () => {
    manager.answer = () => ({ body: located(DEAD) })
    assert.deepEqual(await download(), FROM_ORIGIN)
    assert.equal(manager.asked.length, 2, 'the first contact, and once more')
    const [{ facts }] = logged('no supernode to be had')
    assert.deepEqual([...(facts as { tried: string[] }).tried].sort(), DEAD)
    manager.answer = () => ({ body: located([system.node, ...DEAD]) })
    assert.deepEqual(await download(), FROM_SWARM())
    assert.equal(manager.asked.length, 3)
    assert.deepEqual(await download(), FROM_SWARM())
    assert.equal(manager.asked.length, 3)
  })

  const decline: Answer = (message, say) => {
    greet(message, say)
    const refusal = { code: 'SUPERNODE_OVERLOADED', message: 'not here' }
    if (message.type === 'announce') say({ type: 'error', taskId: message.taskId, ...refusal })
  }

  it('goes to the next one where a supernode takes no new tasks', async () => {
    const draining = await startScriptedSupernode(decline)
    const groups = [...located([draining.node]).groups, ...located([system.node]).groups]
    manager.answer = () => ({ body: located([], { groups }) })
    assert.deepEqual(await download(), FROM_SWARM())
    assert.equal(draining.channels[0].heard.filter(({ type }) => type === 'announce').length, 1)
    assert.equal(logged('supernode declined').length, 1)
    await draining.close()
  })

  it('takes the refusal of the last one for an answer', async () => {
    const draining = await Promise.all([startScriptedSupernode(decline), startScriptedSupernode(decline)])
    const nodes = draining.map(({ node }) => node)
    for (const also of [[], DEAD]) {
      manager.answer = () => ({ body: located([...nodes, ...also]) })
      for (const name of ['node', 'managers', 'supernodes']) await rm(meta(name), { force: true })
      const { source } = await download()
      assert.equal(source, 'origin')
      const code = also.length === 0 ? 'REGISTRATION_REFUSED' : 'SUPERNODE_UNREACHABLE'
      await assert.rejects(download({ mayReadOrigin: false }), { code })
    }
    await Promise.all(draining.map(supernode => supernode.close()))
  })

  it('fails without a supernode where the origin is forbidden', async () => {
    manager.answer = () => ({ body: located(DEAD) })
    await assert.rejects(download({ mayReadOrigin: false }), { code: 'SUPERNODE_UNREACHABLE' })
  })

  it('goes to the origin within 10 s where nobody answers, and the log says who was tried', {
    timeout: 20_000,
  }, async () => {
    const [one, two, three] = [await startSilent(), await startSilent(), await startSilent()]
    manager.answer = () => ({ body: located([one, two], { managers: [`http://${three}`] }) })
    const asked = download()
    await manager.whenAsked(1)
    manager.answer = () => 'hang'
    const startedAt = performance.now()
    assert.deepEqual(await asked, FROM_ORIGIN)
    const ms = performance.now() - startedAt
    assert.ok(ms < 10_000, `${ms} ms`)
    const tried = logged('supernode not reached').map(
      ({ facts }) => (facts as { supernode: string }).supernode,
    )
    assert.deepEqual(tried.slice(0, 2).sort(), [one, two].sort())
    assert.equal(logged('no supernode to be had').length, 1)
    const unanswered = logged('managing node gave no answer')
    assert.deepEqual(
      unanswered.map(({ facts }) => (facts as { manager: string }).manager),
      [manager.url, `http://${three}`],
    )
  })

  it('goes to the origin soon where not even a managing node answers', { timeout: 20_000 }, async () => {
    const managers = [`http://${await startSilent()}`, `http://${await startSilent()}`]
    const startedAt = performance.now()
    assert.deepEqual(await download({ managers }), FROM_ORIGIN)
    assert.ok(performance.now() - startedAt < 5_000)
  })

  it('takes a corrupt answer from before, or one of another version, for none', async () => {
    for (const content of ['', '{', '[]', '{"version":2,"managers":[]}', '{"version":1,"groups":"all"}']) {
      const before = manager.asked.length
      await mkdir(path.dirname(meta('node')), { recursive: true })
      for (const name of ['node', 'managers', 'supernodes']) await writeFile(meta(name), content)
      assert.deepEqual(await download(), FROM_SWARM())
      assert.equal(manager.asked.length, before + 1, content)
      assert.equal((await remembered('supernodes')).version, 1)
    }
  })

  it('lives on where its meta directory is emptied, or taken away', async () => {
    await download()
    for (const name of ['node', 'managers', 'supernodes']) await rm(meta(name))
    assert.deepEqual(await download(), FROM_SWARM())
    assert.equal(manager.asked.length, 2)
    await rm(meta('node'))
    assert.deepEqual(await download(), FROM_SWARM())
    await manager.whenAsked(3)
    const running = await system.begin(peer, origin.serve('/last', { lengthBytes: MIB, seed: 77 }).url, {
      managers: [manager.url],
      nodes: [],
    })
    for (const name of ['node', 'managers', 'supernodes']) await rm(meta(name), { force: true })
    await running.run.done
    running.release()
  })

  it('asks nobody where supernodes are named, and takes the usual one where nobody knows any', async () => {
    await manager.close()
    const file = origin.serve('/named', { lengthBytes: MIB, seed: 99 })
    const { node } = await system.download(peer, file.url, { nodes: [system.node] })
    assert.equal(node, system.node)
    assert.deepEqual(await download({ nodes: [system.node], managers: [] }), FROM_SWARM())
    assert.equal(manager.asked.length, 0)
  })

  it('keeps those from before where the managing node knows none for a while', async () => {
    await download()
    clock.moveOn(61_000)
    manager.answer = () => ({ body: located([]) })
    await download()
    await manager.whenAsked(2)
    assert.deepEqual(await download(), FROM_SWARM())
    assert.deepEqual((await remembered('supernodes')).groups, located([system.node]).groups)
  })

  it('orders equals by the task, so that each task has its own and all its peers the same', async () => {
    const equals = Array.from({ length: 4 }, (_, index) => `10.255.0.${index + 1}:8002`)
    const host = { hostName: 'here', addresses: [] }
    const options = { host, meta: new MetaStore(home), clock, random: seededRandom(1), log }
    const finder = await SupernodeFinder.open(options)
    const nearest = located(['10.0.0.1:8002']).groups[0]
    manager.answer = () => ({ body: located([], { groups: [nearest, located(equals).groups[0]] }) })
    const orderFor = async (url: string) => {
      const search = finder.search({ taskId: taskIdFor({ url }), nodes: [], managers: [manager.url] })!
      return (await search.first(new AbortController().signal)).map(formatHostPort)
    }
    const orders = new Map<string, string[]>()
    for (let index = 0; index < 64; index++)
      orders.set(`http://h/${index}`, await orderFor(`http://h/${index}`))
    manager.answer = () => ({
      body: located([], { groups: [nearest, located(equals.toReversed()).groups[0]] }),
    })
    for (const name of ['node', 'managers', 'supernodes']) await rm(meta(name))
    for (const [url, order] of orders) {
      assert.deepEqual(await orderFor(url), order)
      assert.equal(order[0], '10.0.0.1:8002', 'groups stay in their order')
    }
    assert.equal(new Set([...orders.values()].map(order => order[1])).size, equals.length)
    await finder.close()
  })

  it('refuses what a hostile managing node says, and keeps what it has', async () => {
    await download()
    const kept = await remembered('supernodes')
    const evil = { nearness: 'idc' as const, supernodes: [{ id: 'a', control: { host: 'h\r\nX', port: 1 } }] }
    const lies = [
      ' '.repeat(2 * MIB),
      'nonsense',
      { ...located([]), zone: 1 },
      located([], { groups: [evil] }),
    ]
    for (const [index, body] of lies.entries()) {
      clock.moveOn(80_000)
      manager.answer = () => ({ body })
      assert.deepEqual(await download(), FROM_SWARM())
      await manager.whenAsked(2 + index)
      while (logged('no managing node to be had').length <= index) await new Promise(setImmediate)
      assert.deepEqual(await remembered('supernodes'), kept)
    }
    const refused = logged('managing node gave no answer').map(
      ({ facts }) => (facts as { code: string }).code,
    )
    assert.deepEqual(refused, Array(lies.length).fill('PROTOCOL_INVALID'))
    assert.ok(log.lines.every(line => !/[\r\n]/.test(JSON.parse(JSON.stringify(line.facts)).cause ?? '')))
  })
})
