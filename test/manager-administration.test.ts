import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import {
  type ApiQuestion,
  freshManager,
  joinAt,
  leaseOf,
  type ManagerWorld,
  refused,
  renewAt,
} from './support/manager-world.ts'

/** What administrators do by API, and what comes of it. */

const LOCATE = { hostName: 'host', addresses: ['10.0.0.1'], version: '1' }
const ENTRY = {
  cidr: '10.0.0.0/8',
  hostName: null,
  securityDomain: 'd',
  idc: 'i',
  location: null,
  rack: null,
}
const TOKEN = { kind: 'join', name: 'x', lifetimeMs: 1_000, usesMax: null }

describe('the administration of a cluster', () => {
  const fresh = freshManager()
  let world: ManagerWorld
  let admin: string
  beforeEach(() => {
    ;({ world, admin } = fresh)
  })

  const ask = (question: ApiQuestion) => world.ask(question)

  it('a join needs a token that is good now, also from this host', async () => {
    const join = (token: string, supernodeId = 'a') =>
      ask({ path: '/api/v1/join', body: { token, supernodeId } })
    const short = await world.token({ lifetimeMs: 1_000 })
    const once = await world.token({ usesMax: 1 })
    const revoked = await world.token()
    const number = revoked.split('.')[0]
    const gone = await ask({ method: 'DELETE', path: `/api/v1/tokens/${number}`, bearer: admin })
    assert.equal(gone.status, 204)
    world.clock.moveOn(1_000)
    assert.equal((await join(once)).status, 200)
    await refused(join(once, 'b'), 'CREDENTIAL_INVALID', /used up/)
    await refused(join(short), 'CREDENTIAL_INVALID', /expired/)
    await refused(join(revoked), 'CREDENTIAL_INVALID', /revoked/)
    await refused(join(admin), 'CREDENTIAL_REFUSED')
    await refused(join('forged'), 'CREDENTIAL_INVALID')
    await refused(join(`${number}.${'A'.repeat(43)}`), 'CREDENTIAL_INVALID', /not one of this cluster/)
  })

  it('tokens are made, listed without their secrets, and revoked', async () => {
    const made = await ask({ path: '/api/v1/tokens', body: { ...TOKEN, usesMax: 3 }, bearer: admin })
    assert.equal(made.status, 201)
    assert.equal(made.headers['cache-control'], 'no-store')
    const { token, view } = made.body as unknown as { token: string; view: { id: string; state: string } }
    assert.equal(view.state, 'valid')
    const listed = await ask({ path: '/api/v1/tokens', bearer: admin })
    const { tokens } = listed.body as unknown as { tokens: object[] }
    assert.deepEqual(tokens[0], view)
    for (const secret of [token, admin].map(one => one.split('.')[1]))
      assert.ok(!listed.text.includes(secret))
    await ask({ method: 'DELETE', path: `/api/v1/tokens/${view.id}`, bearer: admin })
    const after = (await ask({ path: '/api/v1/tokens', bearer: admin })).body as unknown as typeof listed.body
    assert.equal((after as unknown as { tokens: { state: string }[] }).tokens[0].state, 'revoked')
    for (const lifetimeMs of [0, 999, -1, 1.5, 10 * 366 * 86_400_000])
      await refused(
        ask({ path: '/api/v1/tokens', body: { ...TOKEN, lifetimeMs }, bearer: admin }),
        'REQUEST_INVALID',
        /lifetimeMs/,
      )
  })

  it('supernodes are listed with what they said, and their credentials with nobody', async () => {
    const credential = await joinAt(world, 'a')
    await joinAt(world, 'b', '127.0.0.2')
    await ask({ method: 'DELETE', path: '/api/v1/supernodes/a/lease', bearer: credential })
    const { text, body } = await ask({ path: '/api/v1/supernodes', bearer: admin })
    assert.ok(!text.includes(credential))
    const { supernodes } = body as unknown as { supernodes: { id: string; state: string; load: object }[] }
    assert.deepEqual(
      supernodes.map(({ id, state }) => [id, state]),
      [
        ['a', 'expired'],
        ['b', 'active'],
      ],
    )
    assert.deepEqual(supernodes[1].load, leaseOf('').load)
    const summary = (await ask({ path: '/api/v1/overview', bearer: admin })).body as unknown as {
      supernodes: object
      load: object
      zones: object
    }
    assert.deepEqual(summary.supernodes, { active: 1, draining: 0, expired: 1 })
    assert.deepEqual(summary.load, { peers: 1, tasks: 2, sentBytesPerSecond: 3 })
    assert.deepEqual(summary.zones, [{ zone: null, supernodes: 1 }])
  })

  it('armory entries count from the answer on, and nonsense is refused whole', async () => {
    const placeOf = async (address: string) => {
      const { body } = await ask({ path: '/api/v1/locate', body: { ...LOCATE, addresses: [address] } })
      return (body as unknown as { place: { idc: string | null } }).place.idc
    }
    assert.equal(await placeOf('10.1.1.1'), null)
    const made = await ask({ path: '/api/v1/armory/entries', body: { entries: [ENTRY] }, bearer: admin })
    assert.equal(made.status, 201)
    assert.equal(await placeOf('10.1.1.1'), 'i')
    const { entries } = made.body as unknown as { entries: { id: number }[] }
    const one = `/api/v1/armory/entries/${entries[0].id}`
    const replaced = await ask({ method: 'PUT', path: one, body: { ...ENTRY, idc: 'other' }, bearer: admin })
    assert.equal(replaced.status, 200)
    assert.equal(await placeOf('10.1.1.1'), 'other')
    for (const nonsense of [
      { ...ENTRY, cidr: '10.0.0.0/33' },
      { ...ENTRY, cidr: "10.0.0.0/8'; drop table armory_entries" },
      { ...ENTRY, hostName: 'x' },
      { ...ENTRY, cidr: null },
      { ...ENTRY, cidr: null, hostName: 'a b' },
      { ...ENTRY, idc: '' },
    ]) {
      const sent = { entries: [{ ...ENTRY, cidr: '11.0.0.0/8' }, nonsense] }
      await refused(ask({ path: '/api/v1/armory/entries', body: sent, bearer: admin }), 'REQUEST_INVALID')
      await refused(ask({ method: 'PUT', path: one, body: nonsense, bearer: admin }), 'REQUEST_INVALID')
    }
    const listed = await ask({ path: '/api/v1/armory/entries', bearer: admin })
    assert.deepEqual(listed.body as unknown, {
      entries: [{ id: entries[0].id, entry: { ...ENTRY, idc: 'other' } }],
      next: null,
    })
    assert.equal((await ask({ method: 'DELETE', path: one, bearer: admin })).status, 204)
    assert.equal(await placeOf('10.1.1.1'), null)
  })

  it('SQL in names is kept as it is, and does nothing', async () => {
    const name = `'; drop table supernodes; -- " or 1=1`
    const credential = await joinAt(world, name)
    assert.equal((await renewAt(world, { id: name, credential })).status, 200)
    await ask({ path: '/api/v1/tokens', body: { ...TOKEN, name }, bearer: admin })
    const listed = (await ask({ path: '/api/v1/supernodes', bearer: admin })).body as unknown as {
      supernodes: { id: string }[]
    }
    assert.deepEqual(
      listed.supernodes.map(({ id }) => id),
      [name],
    )
    await refused(
      ask({
        method: 'DELETE',
        path: `/api/v1/supernodes/${encodeURIComponent("x' or '1'='1")}`,
        bearer: admin,
      }),
      'REQUEST_NOT_FOUND',
    )
    assert.equal((await renewAt(world, { id: name, credential })).status, 200)
  })

  it('secrets are in no line of the log', async () => {
    const token = await world.token()
    const joined = await ask({ path: '/api/v1/join', body: { token, supernodeId: 'a' } })
    const { credential, clusterSecret } = joined.body as unknown as Record<string, string>
    await renewAt(world, { id: 'a', credential })
    await renewAt(world, { id: 'b', credential })
    await ask({ path: '/api/v1/tokens', body: TOKEN, bearer: admin })
    await ask({ path: `/api/v1/tokens/${token}`, method: 'DELETE', bearer: admin })
    await ask({ path: '/api/v1/overview', bearer: token })
    await ask({ path: `/api/v1/supernodes/${credential}/lease`, method: 'DELETE', bearer: 'x' })
    for (const secret of [token.split('.')[1], admin.split('.')[1], credential, clusterSecret])
      assert.ok(secret.length > 40 && !world.log.text.includes(secret))
    const messages = new Set(world.log.lines.map(({ message }) => message))
    for (const message of ['supernode joined', 'supernode is there', 'token made', 'request refused'])
      assert.ok(messages.has(message), message)
  })
})
