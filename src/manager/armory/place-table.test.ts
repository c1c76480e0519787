import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../ops/system-clock.ts'
import type { ArmoryEntry } from '../../wire/manager-api.ts'
import { ARMORY_LINES_MAX, type ArmoryLine, compilePlaceTable, problemOfEntry } from './place-table.ts'

const NOTHING = { securityDomain: null, idc: null, location: null, rack: null }

function entryOf(key: string, place: Partial<ArmoryEntry> = {}): ArmoryEntry {
  const isCidr = /^[\d:]/.test(key)
  return { cidr: isCidr ? key : null, hostName: isCidr ? null : key, ...NOTHING, ...place }
}

const compile = (...entries: ArmoryEntry[]) =>
  compilePlaceTable(
    entries.map((entry, index) => ({ line: index + 1, entry })),
    systemClock,
  )

test('a name is asked for where no prefix fits', async () => {
  const { table, problem } = await compile(
    entryOf('10.0.0.0/8', { idc: 'north' }),
    entryOf('web*', { idc: 'south' }),
    entryOf('::/0', { idc: 'six' }),
  )
  assert.equal(problem, null)
  assert.equal(table.size, 3)
  const idcOf = (hostName: string, ...addresses: string[]) => table.find({ hostName, addresses })?.idc
  assert.equal(idcOf('web1', '10.0.0.1'), 'north')
  assert.equal(idcOf('web1', '11.0.0.1'), 'south')
  assert.equal(idcOf('web1', 'fe80::1%eth0', 'nonsense'), 'south')
  assert.equal(idcOf('web1'), 'south')
  assert.equal(idcOf('web1', '11.0.0.1', '::2'), 'six')
  assert.equal(idcOf('db1', '11.0.0.1'), undefined)
})

test('lines that say the same again are one; lines that contradict are refused, both named', async () => {
  const { table, problem } = await compile(
    entryOf('10.0.0.0/8', { idc: 'north' }),
    entryOf('::ffff:10.0.0.0/104', { idc: 'north' }),
    entryOf('10.0.0.0/8', { idc: 'south' }),
    entryOf('web*', { rack: '1' }),
    entryOf('WEB**', { rack: '2' }),
    entryOf('10.0.0.0/9', { idc: 'south' }),
  )
  assert.equal(
    problem,
    'line 3: 10.0.0.0/8 has another place in line 1; line 5: WEB** has another place in line 4',
  )
  assert.equal(table.size, 3)
  assert.equal(table.find({ hostName: '', addresses: ['10.200.0.1'] })?.idc, 'north')
})

test('what is wrong with a line is said with its number, of many lines for the first ten', async () => {
  const { problem } = await compile(
    entryOf('10.0.0.1/8'),
    entryOf('web[0-9]'),
    { ...entryOf('10.0.0.0/8'), hostName: 'a' },
    { ...entryOf('a'), hostName: null },
    entryOf('10.0.0.0/8', { rack: 'a\nb' }),
    entryOf('10.0.0.0/8', { idc: '' }),
    entryOf('10.0.0.0/8', { location: 'x'.repeat(257) }),
    ...Array.from({ length: 7 }, () => entryOf('999.0.0.0/8')),
  )
  const said = problem!.split('; line ')
  assert.deepEqual(
    said.slice(0, 7).map(text => text.replace(/^line /, '')),
    [
      '1: "10.0.0.1/8" has bits set behind its prefix; write 10.0.0.0/8, or a longer prefix',
      '2: "web[0-9]" is not a host name, in which * stands for any text',
      '3: one of cidr and hostName is wanted',
      '4: one of cidr and hostName is wanted',
      '5: rack holds a control character',
      '6: idc has 1 to 256 characters',
      '7: location has 1 to 256 characters',
    ],
  )
  assert.match(problem!, /line 10: [^;]*; [^;]*; and 4 more$/)
})

test('an entry by itself is good or has a problem', () => {
  assert.equal(problemOfEntry(entryOf('10.0.0.0/8')), null)
  assert.equal(problemOfEntry(entryOf('*.example')), null)
  assert.match(problemOfEntry(entryOf(`1${'0'.repeat(5_000)}`))!, /^.{1,161}$/)
})

function* hosts(count: number): Generator<ArmoryLine> {
  for (let index = 0; index < count; index++) {
    const word = Math.imul(index, 0x9e3779b1) >>> 0
    const cidr = [24, 16, 8, 0].map(shift => (word >>> shift) & 0xff).join('.')
    const place = { ...NOTHING, idc: `idc-${index % 50}`, rack: `${index % 5_000}` }
    yield { line: index + 1, entry: { cidr, hostName: null, ...place } }
  }
}

test('a million lines are taken while the process goes on with other work; one more is refused', async () => {
  let turns = 0
  let isDone = false
  const turn = () => {
    turns++
    if (!isDone) setImmediate(turn)
  }
  turn()
  const { table, problem } = await compilePlaceTable(hosts(ARMORY_LINES_MAX + 5), systemClock)
  isDone = true
  assert.equal(problem, 'line 1000001: there are more than 1000000 lines; name larger networks')
  assert.equal(table.size, ARMORY_LINES_MAX)
  assert.ok(turns > 20, `${turns}`)
  assert.equal(table.find({ hostName: '', addresses: ['0.0.0.0'] })?.idc, 'idc-0')
})

test('patterns beyond a hundred thousand are refused once', async () => {
  function* patterns(): Generator<ArmoryLine> {
    for (let index = 1; index <= 100_010; index++) yield { line: index, entry: entryOf(`w${index}-*`) }
  }
  const { table, problem } = await compilePlaceTable(patterns(), systemClock)
  assert.equal(problem, 'line 100001: there are more than 100000 patterns with *')
  assert.equal(table.size, 100_000)
})
