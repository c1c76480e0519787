import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { DatabaseLocation } from '../src/manager/database.ts'
import type { ManagerOptions } from '../src/manager/manager.ts'
import { joinAt, locatedAt, type ManagerWorld, renewAt, startManager } from './support/manager-world.ts'
import { POSTGRES_PASSWORD, startPostgres } from './support/postgres.ts'

/** Who belongs to the cluster, and who is told of whom. */

const ARMORY = `cidr,securityDomain,idc,location
127.1.0.0/16,inside,north,n1
127.2.0.0/16,inside,south,s1
127.9.0.0/16,outside,far,f1
`

describe('the members of a cluster', () => {
  let directory: string
  let files = 0
  const worlds: ManagerWorld[] = []
  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-manager-'))
    await writeFile(path.join(directory, 'armory.csv'), ARMORY)
  })
  after(async () => {
    for (const { manager } of worlds) await manager.stop()
    await rm(directory, { recursive: true })
  })

  async function start(options: Partial<ManagerOptions> = {}): Promise<ManagerWorld> {
    const database: DatabaseLocation = { kind: 'sqlite', file: path.join(directory, `${++files}.db`) }
    const armory = { kind: 'file' as const, file: path.join(directory, 'armory.csv') }
    const world = await startManager({ database, armory, ...options })
    worlds.push(world)
    return world
  }

  it('are told to clients, the nearest first, and never through the wall', async () => {
    const world = await start()
    await joinAt(world, 'north-a', '127.1.0.1')
    await joinAt(world, 'north-b', '127.1.0.2')
    await joinAt(world, 'south', '127.2.0.1')
    await joinAt(world, 'far', '127.9.0.1')
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [['north-a', 'north-b'], ['south']])
    assert.deepEqual(await locatedAt(world, ['127.2.0.9']), [['south'], ['north-a', 'north-b']])
    assert.deepEqual(await locatedAt(world, ['127.9.0.9']), [['far']])
    assert.deepEqual(await locatedAt(world, ['127.77.0.9']), [])
  })

  it('are told through the wall where the operator opened it', async () => {
    const world = await start({ isWallOpen: true })
    await joinAt(world, 'north', '127.1.0.1')
    await joinAt(world, 'far', '127.9.0.1')
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [['north'], ['far']])
  })

  it('a client learns its place, its zone and the managing nodes, and unknown hosts are reported once', async () => {
    const world = await start({ zoneBoundary: 'security-domain' })
    const ask = (addresses: string[]) =>
      world.ask({ path: '/api/v1/locate', body: { hostName: 'client', addresses, version: '1' } })
    const { body } = await ask(['127.1.0.9'])
    assert.deepEqual(body as unknown, {
      place: { securityDomain: 'inside', idc: 'north', location: 'n1', rack: null },
      isKnown: true,
      zone: 'inside',
      groups: [],
      managers: [world.manager.url],
      refreshMs: 60_000,
    })
    await ask([])
    const unknown = (await ask([])).body as unknown as { isKnown: boolean; zone: unknown; place: object }
    assert.deepEqual([unknown.isKnown, unknown.zone], [false, null])
    assert.deepEqual(new Set(Object.values(unknown.place)), new Set([null]))
    const said = world.log.lines.filter(({ message }) => message === 'host is not in the armory')
    assert.equal(said.length, 1)
  })

  it('hosts that the armory lacks get the default place, and are said to be unknown all the same', async () => {
    const defaultPlace = { securityDomain: 'inside', idc: null, location: 'n1', rack: null }
    const world = await start({ defaultPlace })
    await joinAt(world, 'south', '127.2.0.1')
    await joinAt(world, 'lost', '127.77.0.1')
    await joinAt(world, 'far', '127.9.0.1')
    const { body } = await world.ask({
      path: '/api/v1/locate',
      body: { hostName: 'client', addresses: ['127.77.0.9'], version: '1' },
    })
    const { place, isKnown } = body as unknown as { place: object; isKnown: boolean }
    assert.deepEqual([place, isKnown], [defaultPlace, false])
    assert.deepEqual(await locatedAt(world, ['127.77.0.9']), [['lost'], ['south']])
    assert.equal(world.log.lines.filter(({ message }) => message === 'host is not in the armory').length, 1)
  })

  it('the address that the managing node sees counts too', async () => {
    const world = await start()
    await joinAt(world, 'north', '127.1.0.1')
    const { body } = await world.ask({
      path: '/api/v1/locate',
      body: { hostName: '', addresses: [], version: '1' },
      from: '127.1.0.7',
    })
    assert.equal((body as unknown as { zone: string }).zone, 'north')
  })

  it('whose lease has run out are in no answer, and are back with the next renewal', async () => {
    const world = await start()
    const credential = await joinAt(world, 'a', '127.1.0.1')
    world.clock.moveOn(14_000)
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [['a']])
    world.clock.moveOn(1_100)
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [])
    await renewAt(world, { id: 'a', credential, host: '127.1.0.1' })
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [['a']])
  })

  it('that leave are in no answer at once', async () => {
    const world = await start()
    const credential = await joinAt(world, 'a', '127.1.0.1')
    const left = await world.ask({
      method: 'DELETE',
      path: '/api/v1/supernodes/a/lease',
      bearer: credential,
    })
    assert.deepEqual([left.status, left.text], [204, ''])
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [])
  })

  it('that drain are told so, and are in no new answer until they drain no more', async () => {
    const world = await start()
    const admin = await world.token({ kind: 'admin' })
    const credential = await joinAt(world, 'a', '127.1.0.1')
    const drain = (isDraining: boolean) =>
      world.ask({
        method: 'PUT',
        path: '/api/v1/supernodes/a/drain',
        body: { isDraining },
        bearer: admin,
      })
    const lease = async () => {
      const { body } = await renewAt(world, { id: 'a', credential, host: '127.1.0.1' })
      return (body as unknown as { isDraining: boolean }).isDraining
    }
    assert.equal(await lease(), false)
    assert.equal((await drain(true)).status, 204)
    assert.equal(await lease(), true)
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [])
    assert.equal((await drain(false)).status, 204)
    assert.equal(await lease(), false)
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [['a']])
  })

  it('that are removed are in no answer, and their credential is void until they join again', async () => {
    const world = await start()
    const admin = await world.token({ kind: 'admin' })
    const credential = await joinAt(world, 'a', '127.1.0.1')
    const removed = await world.ask({ method: 'DELETE', path: '/api/v1/supernodes/a', bearer: admin })
    assert.equal(removed.status, 204)
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [])
    const { status, body } = await renewAt(world, { id: 'a', credential })
    assert.deepEqual([status, body.code], [401, 'CREDENTIAL_INVALID'])
    await joinAt(world, 'a', '127.1.0.1')
    assert.deepEqual(await locatedAt(world, ['127.1.0.9']), [['a']])
  })

  it('of other zones fill from the root zone, and those of the root zone from the origin', async () => {
    const world = await start({ rootZone: 'north' })
    const north = await joinAt(world, 'n', '127.1.0.1')
    const south = await joinAt(world, 's', '127.2.0.1')
    const answers = await Promise.all([
      renewAt(world, { id: 'n', credential: north, host: '127.1.0.1' }),
      renewAt(world, { id: 's', credential: south, host: '127.2.0.1' }),
    ])
    const [ofNorth, ofSouth] = answers.map(({ body }) => body as unknown)
    const terms = { leaseMs: 15_000, renewMs: 5_000, isDraining: false }
    const place = { securityDomain: 'inside', rack: null }
    const n = { id: 'n', control: { host: '127.1.0.1', port: 8002 } }
    assert.deepEqual(ofNorth, {
      ...terms,
      place: { ...place, idc: 'north', location: 'n1' },
      zone: 'north',
      parents: [],
    })
    assert.deepEqual(ofSouth, {
      ...terms,
      place: { ...place, idc: 'south', location: 's1' },
      zone: 'south',
      parents: [n],
    })
    await world.ask({
      method: 'PUT',
      path: '/api/v1/supernodes/n/drain',
      body: { isDraining: true },
      bearer: await world.token({ kind: 'admin' }),
    })
    const { body } = await renewAt(world, { id: 's', credential: south, host: '127.2.0.1' })
    assert.deepEqual((body as unknown as { parents: object[] }).parents, [])
  })

  it('and their secrets outlive the managing node', async () => {
    const database: DatabaseLocation = { kind: 'sqlite', file: path.join(directory, `${++files}.db`) }
    const first = await start({ database })
    const credential = await joinAt(first, 'a', '127.1.0.1')
    await first.manager.stop()
    worlds.splice(worlds.indexOf(first), 1)
    const second = await start({ database })
    assert.deepEqual(await locatedAt(second, ['127.1.0.9']), [['a']])
    assert.equal((await renewAt(second, { id: 'a', credential })).status, 200)
  })
})

const postgres = await startPostgres()
after(() => postgres?.stop())
if (postgres)
  describe('two managing nodes on one PostgreSQL', () => {
    it('are interchangeable, and clients learn both from each', async () => {
      const database: DatabaseLocation = { kind: 'postgres', url: await postgres.newDatabase() }
      const worlds = await Promise.all([startManager({ database }), startManager({ database })])
      const [first, second] = worlds
      const join = { token: await first.token(), supernodeId: 'a' }
      const atFirst = await first.ask({ path: '/api/v1/join', body: join })
      const atSecond = await second.ask({ path: '/api/v1/join', body: { ...join, supernodeId: 'b' } })
      const [a, b] = [atFirst, atSecond].map(
        ({ body }) => body as unknown as { credential: string; clusterSecret: string },
      )
      assert.equal(a.clusterSecret, b.clusterSecret)
      assert.equal((await renewAt(second, { id: 'a', credential: a.credential })).status, 200)
      assert.equal((await renewAt(first, { id: 'b', credential: b.credential })).status, 200)
      for (const world of worlds) {
        // The other one's news come with the next refresh.
        world.clock.moveOn(500)
        await world.ask({ path: '/api/v1/overview', bearer: await world.token({ kind: 'admin' }) })
        assert.deepEqual(await locatedAt(world), [['a', 'b']])
        const { body } = await world.ask({
          path: '/api/v1/locate',
          body: { hostName: '', addresses: [], version: '1' },
        })
        const { managers } = body as unknown as { managers: string[] }
        assert.deepEqual(managers.sort(), [first.manager.url, second.manager.url].sort())
      }
      await first.manager.stop()
      second.clock.moveOn(500)
      const { body } = await second.ask({
        path: '/api/v1/overview',
        bearer: await second.token({ kind: 'admin' }),
      })
      assert.deepEqual((body as unknown as { managers: string[] }).managers, [second.manager.url])
      await second.manager.stop()
      for (const { log } of worlds) assert.ok(!log.text.includes(POSTGRES_PASSWORD))
    })

    it('a managing node whose database is gone goes on telling clients who was there last', async () => {
      const gone = await startPostgres()
      const database: DatabaseLocation = { kind: 'postgres', url: await gone!.newDatabase() }
      const world = await startManager({ database })
      const credential = await joinAt(world, 'a')
      await gone!.stop()
      const refused = await renewAt(world, { id: 'a', credential })
      assert.deepEqual([refused.status, refused.body.code], [503, 'DATABASE_FAILED'])
      assert.equal(refused.body.message, 'the database of the managing node did not answer')
      world.clock.moveOn(600)
      while (!world.log.text.includes('database does not answer')) await new Promise(setImmediate)
      world.clock.moveOn(60_000)
      assert.deepEqual(await locatedAt(world), [['a']])
      const { body } = await world.ask({ path: '/healthz' })
      assert.deepEqual(body as unknown, { status: 'ok', database: 'failing' })
      await world.manager.stop()
      assert.ok(!world.log.text.includes(POSTGRES_PASSWORD))
    })
  })
