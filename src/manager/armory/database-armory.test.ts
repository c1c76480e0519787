import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { keptLog } from '../../../test/support/kept-log.ts'
import type { ArmoryEntry } from '../../wire/manager-api.ts'
import { openDatabaseArmory } from './database-armory.ts'

const NOWHERE = { securityDomain: null, idc: null, location: null, rack: null }
const entryOf = (cidr: string, idc: string): ArmoryEntry => ({ ...NOWHERE, cidr, hostName: null, idc })

async function setup(t: TestContext, entries: readonly ArmoryEntry[]) {
  const [clock, log] = [new FakeClock(), keptLog()]
  const database = { entries, revision: 0, reads: 0, hold: Promise.resolve() as Promise<void> }
  const armory = await openDatabaseArmory({
    entries: async () => {
      database.reads++
      const { entries } = database
      await database.hold
      return entries
    },
    revision: async () => database.revision,
    defaultPlace: NOWHERE,
    clock,
    log,
  })
  t.after(() => armory.close())
  const idc = async () => (await armory.where({ hostName: '', addresses: ['10.0.0.1'] })).place.idc
  const set = (...entries: ArmoryEntry[]) => {
    database.entries = entries
    database.revision++
  }
  return { clock, log, database, armory, idc, set }
}

const turns = async () => {
  for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
}

test('a change by this manager is in use when the refresh ends, by another one within two seconds', async t => {
  const { clock, database, armory, idc, set } = await setup(t, [entryOf('10.0.0.0/8', 'one')])
  assert.equal(await idc(), 'one')
  set(entryOf('10.0.0.0/8', 'two'))
  await armory.refresh()
  assert.equal(await idc(), 'two')
  set(entryOf('10.0.0.0/8', 'six'))
  clock.advance(2_000)
  await turns()
  assert.equal(await idc(), 'six')
  const { reads } = database
  for (let round = 0; round < 5; round++) {
    clock.advance(2_000)
    await turns()
  }
  assert.equal(database.reads, reads)
})

test('a refresh in the midst of another one sees what came in between', async t => {
  const { database, armory, idc, set } = await setup(t, [])
  const held = Promise.withResolvers<void>()
  database.hold = held.promise
  set(entryOf('10.0.0.0/8', 'one'))
  const first = armory.refresh()
  await turns()
  set(entryOf('10.0.0.0/8', 'two'))
  const others = [armory.refresh(), armory.refresh()]
  held.resolve()
  await first
  await Promise.all(others)
  assert.equal(await idc(), 'two')
  assert.equal(database.reads, 3)
})

test('entries that contradict others are left out and logged, at the start too', async t => {
  const { log, idc } = await setup(t, [
    entryOf('10.0.0.0/8', 'one'),
    entryOf('10.0.0.0/8', 'two'),
    entryOf('nonsense', 'two'),
  ])
  assert.equal(await idc(), 'one')
  const [{ level, facts }] = log.lines
  assert.equal(level, 'error')
  assert.match(JSON.stringify(facts), /line 2: 10\.0\.0\.0\/8 has another place in line 1; line 3: /)
})
