import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { DragonflyError } from '../src/core/error.ts'
import { ArmoryEntries } from '../src/manager/armory-entries.ts'
import { clusterSecret } from '../src/manager/cluster-secret.ts'
import {
  type Database,
  type DatabaseLocation,
  describeDatabase,
  openDatabase,
} from '../src/manager/database.ts'
import { ManagerLeases } from '../src/manager/manager-leases.ts'
import { Supernodes } from '../src/manager/supernodes.ts'
import { Tokens } from '../src/manager/tokens.ts'
import { silentLog } from '../src/ops/log.ts'
import { FakeClock } from './support/fake-clock.ts'
import { POSTGRES_PASSWORD, startPostgres } from './support/postgres.ts'

/** What holds of the managing node's tables on either database. */
function conformance(newLocation: () => Promise<DatabaseLocation>): void {
  const opened: Database[] = []
  const open = async (location: DatabaseLocation) => {
    const database = await openDatabase(location, silentLog)
    opened.push(database)
    return database
  }
  after(() => Promise.all(opened.map(database => database.close())))

  async function world() {
    const clock = new FakeClock()
    clock.advance(1_800_000_000_000)
    const { kysely } = await open(await newLocation())
    const tokens = new Tokens(kysely, clock)
    const supernodes = new Supernodes(kysely, clock)
    const joinToken = async (usesMax: number | null = null) =>
      (await tokens.create({ kind: 'join', name: 'ours', lifetimeMs: 60_000, usesMax })).view.id
    return { clock, kysely, tokens, supernodes, joinToken }
  }

  it('several may open it for the first time at once, and agree on the cluster secret', async () => {
    const location = await newLocation()
    const databases = await Promise.all(Array.from({ length: 4 }, () => open(location)))
    const secrets = await Promise.all(databases.map(({ kysely }) => clusterSecret(kysely)))
    assert.match(secrets[0], /^[0-9a-f]{64}$/)
    assert.deepEqual(new Set(secrets).size, 1)
    const again = await open(location)
    assert.equal(await clusterSecret(again.kysely), secrets[0])
  })

  it('a token is known by its hash alone, and is good for its kind and its time', async () => {
    const { clock, kysely, tokens } = await world()
    const { token, view } = await tokens.create({
      kind: 'admin',
      name: 'me',
      lifetimeMs: 1_000,
      usesMax: null,
    })
    const [, secret] = token.split('.')
    const kept = JSON.stringify(await kysely.selectFrom('tokens').selectAll().execute())
    assert.ok(!kept.includes(secret))
    assert.equal(await tokens.check(token, 'admin'), view.id)
    await refused(tokens.check(token, 'join'), 'CREDENTIAL_REFUSED')
    for (const forged of [
      '',
      view.id,
      `${view.id}.`,
      `${view.id}.${secret.slice(1)}`,
      `x.${secret}`,
      'a.b.c',
    ])
      await refused(tokens.check(forged, 'admin'), 'CREDENTIAL_INVALID')
    clock.advance(1_000)
    await refused(tokens.check(token, 'admin'), 'CREDENTIAL_INVALID')
    assert.deepEqual(
      (await tokens.list()).map(({ state }) => state),
      ['expired'],
    )
  })

  it('a revoked token is void, and what is over is forgotten in time', async () => {
    const { clock, tokens } = await world()
    const { token, view } = await tokens.create({ kind: 'admin', name: 'me', lifetimeMs: 1_000, usesMax: 5 })
    assert.equal(await tokens.revoke(view.id), true)
    assert.equal(await tokens.revoke('no such'), false)
    await refused(tokens.check(token, 'admin'), 'CREDENTIAL_INVALID')
    assert.deepEqual(await tokens.list(), [{ ...view, state: 'revoked' }])
    clock.advance(31 * 86_400_000)
    const other = await tokens.create({ kind: 'join', name: 'new', lifetimeMs: 1_000, usesMax: null })
    assert.deepEqual(await tokens.list(), [other.view])
  })

  it('of many who come at once with a token for two, two join', async () => {
    const { supernodes, tokens, joinToken } = await world()
    const token = await joinToken(2)
    const joins = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => supernodes.join(token, `node-${i}`)),
    )
    assert.equal(joins.filter(({ status }) => status === 'fulfilled').length, 2)
    const [{ state, uses }] = await tokens.list()
    assert.deepEqual([state, uses], ['used-up', 2])
  })

  it('a supernode that joins with the same token again uses it once, and its old credential is void', async () => {
    const { supernodes, tokens, joinToken } = await world()
    const token = await joinToken(1)
    const first = await supernodes.join(token, 'a')
    const second = await supernodes.join(token, 'a')
    assert.equal((await tokens.list())[0].uses, 1)
    await supernodes.checkCredential('a', second)
    await refused(supernodes.checkCredential('a', first), 'CREDENTIAL_INVALID')
    await refused(supernodes.join(token, 'b'), 'CREDENTIAL_INVALID')
  })

  it('a credential is of one supernode, and void when that is removed', async () => {
    const { supernodes, joinToken } = await world()
    const token = await joinToken()
    const [a, b] = [await supernodes.join(token, 'a'), await supernodes.join(token, 'b')]
    await supernodes.checkCredential('a', a)
    await refused(supernodes.checkCredential('a', b), 'CREDENTIAL_REFUSED')
    await refused(supernodes.checkCredential('a', ''), 'CREDENTIAL_INVALID')
    await refused(supernodes.checkCredential('c', `${a}x`), 'CREDENTIAL_INVALID')
    assert.equal(await supernodes.remove('a'), true)
    assert.equal(await supernodes.remove('a'), false)
    await refused(supernodes.checkCredential('a', a), 'CREDENTIAL_INVALID')
    assert.equal(await supernodes.renew('a', LEASE, { leaseMs: 1, zone: null }), null)
  })

  it('a lease says what was said last, and who drains goes on draining', async () => {
    const { clock, supernodes, joinToken } = await world()
    await supernodes.join(await joinToken(), 'a')
    assert.deepEqual(await supernodes.list(), [])
    const renewedAt = clock.wallNow()
    const renewed = await supernodes.renew('a', LEASE, { leaseMs: 15_000, zone: 'z' })
    const expected = {
      ...LEASE,
      id: 'a',
      zone: 'z',
      isDraining: false,
      renewedAt,
      expiresAt: renewedAt + 15_000,
    }
    assert.deepEqual(renewed, expected)
    assert.deepEqual(await supernodes.list(), [expected])
    assert.equal(await supernodes.drain('a', true), true)
    assert.equal(await supernodes.drain('b', true), false)
    assert.equal((await supernodes.renew('a', LEASE, { leaseMs: 15_000, zone: 'z' }))?.isDraining, true)
    clock.advance(10)
    await supernodes.end('a')
    assert.equal((await supernodes.list())[0].expiresAt, renewedAt + 10)
  })

  it('names are data, whatever is written in them', async () => {
    const { supernodes, tokens, kysely, joinToken } = await world()
    const entries = new ArmoryEntries(kysely)
    for (const name of EVIL_NAMES) {
      await supernodes.join(await joinToken(), name)
      const lease = { ...LEASE, hostName: name }
      assert.equal((await supernodes.renew(name, lease, { leaseMs: 1, zone: name }))?.hostName, name)
      await tokens.create({ kind: 'join', name, lifetimeMs: 1_000, usesMax: null })
      assert.equal(await supernodes.remove(`${name} or id <> ''`), false)
      await refused(tokens.check(`${name}.${name}`, 'join'), 'CREDENTIAL_INVALID')
      const entry = {
        cidr: null,
        hostName: name,
        securityDomain: name,
        idc: name,
        location: name,
        rack: name,
      }
      const [{ id }] = await entries.add([entry])
      assert.deepEqual((await entries.page(id - 1)).entries, [{ id, entry }])
    }
    assert.deepEqual((await supernodes.list()).map(({ id }) => id).sort(), [...EVIL_NAMES].sort())
    const named = (await tokens.list()).map(({ name }) => name).filter(name => name !== 'ours')
    assert.deepEqual(named.sort(), [...EVIL_NAMES].sort())
  })

  it('armory entries come in the order of their making, a thousand at a time', async () => {
    const { kysely } = await world()
    const entries = new ArmoryEntries(kysely)
    const entry = (i: number) => ({ ...NO_PLACE, cidr: `10.0.${i >> 8}.${i & 255}/32`, hostName: null })
    for (let i = 0; i < 1_250; i += 250)
      await entries.add(Array.from({ length: 250 }, (_, j) => entry(i + j)))
    const first = await entries.page(0)
    assert.equal(first.entries.length, 1_000)
    const second = await entries.page(first.next!)
    assert.deepEqual([second.entries.length, second.next], [250, null])
    const [{ id }] = first.entries
    assert.deepEqual(await entries.replace(id, entry(9_999)), { id, entry: entry(9_999) })
    assert.equal(await entries.remove(id), true)
    assert.equal(await entries.remove(id), false)
    assert.equal(await entries.replace(id, entry(1)), null)
    const all = await entries.all()
    assert.deepEqual([all.length, all[0], all.at(-1)], [1_249, entry(1), entry(1_249)])
  })

  it('each change of the armory has a revision of its own', async () => {
    const entries = new ArmoryEntries((await world()).kysely)
    const entry = { ...NO_PLACE, cidr: '::/0', hostName: null }
    const seen = [await entries.revision()]
    const [{ id }] = await entries.add([entry])
    seen.push(await entries.revision())
    await entries.replace(id, { ...entry, idc: 'north' })
    seen.push(await entries.revision())
    await entries.remove(id)
    seen.push(await entries.revision())
    assert.equal(new Set(seen).size, 4, seen.join(' '))
    await Promise.all(Array.from({ length: 10 }, () => entries.add([entry])))
    assert.equal(Number(await entries.revision()), Number(seen[3]) + 10)
  })

  it('a number that was given is not given again', async () => {
    const entries = new ArmoryEntries((await world()).kysely)
    const entry = { ...NO_PLACE, cidr: '::/0', hostName: null }
    const [first] = await entries.add([entry])
    await entries.remove(first.id)
    const [second] = await entries.add([entry])
    assert.ok(second.id > first.id)
  })

  it('managing nodes know each other while their leases last', async () => {
    const { clock, kysely } = await world()
    const leases = new ManagerLeases(kysely, clock)
    await leases.renew('http://a:1', 1_000)
    clock.advance(500)
    await leases.renew('http://b:1', 1_000)
    await leases.renew('http://b:1', 2_000)
    assert.deepEqual(
      (await leases.list()).map(({ url }) => url),
      ['http://a:1', 'http://b:1'],
    )
    clock.advance(600)
    await leases.renew('http://c:1', 1_000)
    await leases.end('http://b:1')
    assert.deepEqual(await leases.list(), [{ url: 'http://c:1', expires_at: clock.wallNow() + 1_000 }])
  })
}

const NO_PLACE = { securityDomain: null, idc: null, location: null, rack: null }
const LEASE = {
  control: { host: '127.0.0.1', port: 1 },
  pieces: { host: '127.0.0.1', port: 2 },
  hostName: 'host',
  version: '1',
  load: { peers: 1, tasks: 2, sentBytesPerSecond: Number.MAX_SAFE_INTEGER, uploadLimit: null },
  place: NO_PLACE,
}
const EVIL_NAMES = [
  "'; drop table supernodes; --",
  '" or 1=1 --',
  "a' or 'a'='a",
  '$1 ? :name @p',
  '\\x00\\',
  '%_',
  '💥ß',
]

async function refused(promise: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(promise, (error: DragonflyError) => error.code === code)
}

describe('the database in a file', () => {
  let directory: string
  let files = 0
  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-manager-'))
  })
  after(() => rm(directory, { recursive: true }))
  const newLocation = async () => ({ kind: 'sqlite' as const, file: path.join(directory, `${++files}.db`) })

  conformance(newLocation)

  it('is for its owner alone, with all that lies beside it', async () => {
    const { file } = await newLocation()
    const database = await openDatabase({ kind: 'sqlite', file }, silentLog)
    await clusterSecret(database.kysely)
    for (const name of [file, `${file}-wal`, `${file}-shm`])
      assert.equal((await stat(name)).mode & 0o077, 0, name)
    await database.close()
  })

  it('that cannot be used is explained', async () => {
    const location = { kind: 'sqlite' as const, file: `${import.meta.filename}` }
    await assert.rejects(
      openDatabase(location, silentLog),
      /manager-database\.test\.ts cannot be used: .*not a database/,
    )
  })
})

const postgres = await startPostgres()
after(() => postgres?.stop())
if (postgres)
  describe('PostgreSQL', () => {
    conformance(async () => ({ kind: 'postgres', url: await postgres.newDatabase() }))

    it('whose password is wrong is explained, and the password is not repeated', async () => {
      const url = (await postgres.newDatabase()).replace(POSTGRES_PASSWORD, 'guessed-password')
      await assert.rejects(openDatabase({ kind: 'postgres', url }, silentLog), (error: DragonflyError) => {
        assert.equal(error.code, 'DATABASE_FAILED')
        assert.match(
          error.message,
          /^postgres:\/\/127\.0\.0\.1:\d+\/test_\d+ cannot be used: .*authentication/,
        )
        assert.ok(!JSON.stringify([error, error.message, error.stack]).includes('guessed'))
        return true
      })
    })
  })

it('a database is described without its password and parameters', () => {
  const url = 'postgres://me:secret1@db.example:5432/dragonfly?sslmode=require&password=secret2'
  assert.equal(describeDatabase({ kind: 'postgres', url }), 'postgres://db.example:5432/dragonfly')
  assert.equal(describeDatabase({ kind: 'postgres', url: 'not:// a url secret3' }), 'the PostgreSQL database')
})
