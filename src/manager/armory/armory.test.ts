import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { startArmoryService } from '../../../test/support/armory-service.ts'
import { keptLog } from '../../../test/support/kept-log.ts'
import { MovedClock } from '../../../test/support/moved-clock.ts'
import { createOrigins } from '../../origin/origin.ts'
import type { ArmoryEntry, HostPlace } from '../../wire/manager-api.ts'
import type { Armory } from './armory.ts'
import { openDatabaseArmory } from './database-armory.ts'
import { openFileArmory } from './file-armory.ts'
import { createHttpArmory } from './http-armory.ts'
import { compilePlaceTable } from './place-table.ts'

/** What every armory does, whatever it has its lines from. */

const DEFAULT: HostPlace = { securityDomain: 'visitors', idc: null, location: null, rack: null }

function entryOf(key: string, idc: string): ArmoryEntry {
  const isCidr = /^[\d:]/.test(key)
  const place = { securityDomain: 'prod', idc, location: 'eu', rack: null }
  return { cidr: isCidr ? key : null, hostName: isCidr ? null : key, ...place }
}

type World = {
  readonly armory: Armory
  readonly clock: MovedClock
  /** The source has other lines from now on. */
  change(entries: readonly ArmoryEntry[]): Promise<void>
  /** The source has nothing of use from now on. */
  spoil(): Promise<void>
  readonly log: ReturnType<typeof keptLog>
}

type Stop = () => unknown
type Start = (entries: readonly ArmoryEntry[], onEnd: (stop: Stop) => void) => Promise<World>

function csvOf(entries: readonly ArmoryEntry[]): string {
  const lines = entries.map(entry =>
    [entry.cidr, entry.hostName, 'prod', entry.idc, entry.location].join(','),
  )
  return ['cidr,hostName,securityDomain,idc,location', ...lines, ''].join('\n')
}

function yamlOf(entries: readonly ArmoryEntry[]): string {
  return entries.length === 0 ? '[]' : entries.map(entry => `- ${JSON.stringify(entry)}\n`).join('')
}

const startFile =
  (extension: string, format: (entries: readonly ArmoryEntry[]) => string): Start =>
  async (entries, onEnd) => {
    const [clock, log] = [new MovedClock(), keptLog()]
    const folder = await mkdtemp(path.join(os.tmpdir(), 'dragonfly-armory-'))
    onEnd(() => rm(folder, { recursive: true }))
    const file = path.join(folder, `armory.${extension}`)
    const write = async (text: string) => {
      await writeFile(`${file}.new`, text)
      await rename(`${file}.new`, file)
    }
    await write(format(entries))
    const armory = await openFileArmory({ file, defaultPlace: DEFAULT, clock, log })
    onEnd(() => armory.close())
    return { armory, clock, log, change: entries => write(format(entries)), spoil: () => write('spoiled') }
  }

const startDatabase: Start = async (entries, onEnd) => {
  const [clock, log] = [new MovedClock(), keptLog()]
  let source: { entries: readonly ArmoryEntry[]; revision: number } | null = { entries, revision: 0 }
  const current = async () => source ?? Promise.reject(new Error('the database is gone'))
  const armory = await openDatabaseArmory({
    entries: async () => (await current()).entries,
    revision: async () => (await current()).revision,
    defaultPlace: DEFAULT,
    clock,
    log,
  })
  onEnd(() => armory.close())
  return {
    armory,
    clock,
    log,
    change: async entries => {
      source = { entries, revision: (source?.revision ?? 0) + 1 }
    },
    spoil: async () => {
      source = null
    },
  }
}

const startHttp: Start = async (entries, onEnd) => {
  const [clock, log] = [new MovedClock(), keptLog()]
  const compile = async (entries: readonly ArmoryEntry[]) =>
    (
      await compilePlaceTable(
        entries.map((entry, line) => ({ line, entry })),
        clock,
      )
    ).table
  let table = await compile(entries)
  const service = await startArmoryService((request, response) => {
    const query = new URL(request.url!, 'http://service').searchParams
    const addresses = [query.get('address')!].filter(text => text !== '')
    const place = table.find({ hostName: query.get('name')!, addresses })
    response.statusCode = place === null ? 404 : 200
    response.end(JSON.stringify(place))
  })
  onEnd(() => service.close())
  const timeouts = { connectMs: 5_000, headMs: 5_000, idleMs: 5_000 }
  const armory = createHttpArmory({
    urlTemplate: `${service.url}/where?name={hostName}&address={address}`,
    origin: createOrigins({ clock, timeouts }),
    defaultPlace: DEFAULT,
    clock,
    log,
    cacheMs: 60_000,
  })
  onEnd(() => armory.close())
  return {
    armory,
    clock,
    log,
    change: async entries => {
      table = await compile(entries)
    },
    spoil: async () => {
      service.answer = (_request, response) => response.end('spoiled')
    },
  }
}

const STARTS: Record<string, Start> = {
  'CSV file': startFile('csv', csvOf),
  'YAML file': startFile('yaml', yamlOf),
  database: startDatabase,
  'HTTP service': startHttp,
}

const NORTH = [
  entryOf('10.0.0.0/8', 'north'),
  entryOf('10.9.0.0/16', 'north-9'),
  entryOf('2001:db8::/32', 'six'),
  entryOf('web*.example', 'web'),
]

/** Lets time pass until it is so. */
async function until(clock: MovedClock, isSo: () => unknown): Promise<void> {
  const giveUpMs = performance.now() + 20_000
  while (!(await isSo())) {
    assert.ok(performance.now() < giveUpMs, 'it comes to be so')
    clock.moveOn(1_000)
    await new Promise(resolve => setImmediate(resolve))
  }
}

for (const [name, start] of Object.entries(STARTS)) {
  const inWorld = (title: string, run: (world: World) => Promise<void>) =>
    test(`${name}: ${title}`, async () => {
      const stops: Stop[] = []
      try {
        await run(await start(NORTH, stop => stops.push(stop)))
      } finally {
        for (const stop of stops.reverse()) await stop()
      }
    })
  const idcOf = async ({ armory }: World, hostName: string, ...addresses: string[]) => {
    const { place, isKnown } = await armory.where({ hostName, addresses })
    return isKnown ? place.idc : place
  }

  inWorld('a host is where its address or its name says', async world => {
    assert.equal(await idcOf(world, '', '10.1.2.3'), 'north')
    assert.equal(await idcOf(world, 'web1.example', '10.9.2.3'), 'north-9')
    assert.equal(await idcOf(world, '', '::ffff:10.9.2.3'), 'north-9')
    assert.equal(await idcOf(world, '', '2001:DB8::5'), 'six')
    assert.equal(await idcOf(world, 'WEB7.example', '192.168.0.1'), 'web')
    assert.equal(await idcOf(world, 'web7.example'), 'web')
    assert.equal(await idcOf(world, '', '192.168.0.1', '10.1.2.3'), 'north')
    const whole = await world.armory.where({ hostName: '', addresses: ['10.1.2.3'] })
    const place = { securityDomain: 'prod', idc: 'north', location: 'eu', rack: null }
    assert.deepEqual(whole, { place, isKnown: true })
  })

  inWorld('a host that is not known is at the default place, and this is said', async world => {
    for (const addresses of [[], ['192.168.0.1'], ['nonsense', 'fe80::1%eth0', ''], ['::1', '9.9.9.9']]) {
      for (const hostName of [
        '',
        'db1',
        '../admin',
        '..',
        'a\r\nb: c',
        '*',
        'é',
        'x'.repeat(1_000),
        "' or 1=1",
      ])
        assert.deepEqual(await world.armory.where({ hostName, addresses }), {
          place: DEFAULT,
          isKnown: false,
        })
    }
  })

  inWorld('a change is seen', async world => {
    assert.equal(await idcOf(world, '', '10.1.2.3'), 'north')
    await world.change([entryOf('10.0.0.0/8', 'south')])
    await until(world.clock, async () => (await idcOf(world, '', '10.1.2.3')) === 'south')
    await world.change([])
    await until(world.clock, async () => (await idcOf(world, '', '10.1.2.3')) === DEFAULT)
  })

  inWorld(
    'while the source has nothing of use, the last good state stays, with one line in the log',
    async world => {
      assert.equal(await idcOf(world, '', '10.1.2.3'), 'north')
      await world.spoil()
      const errors = () => world.log.lines.filter(({ level }) => level === 'error').length
      await until(world.clock, async () => {
        assert.equal(await idcOf(world, '', '10.1.2.3'), 'north')
        return errors() > 0
      })
      for (let round = 0; round < 20; round++) {
        world.clock.moveOn(1_000)
        assert.equal(await idcOf(world, '', '10.1.2.3'), 'north')
      }
      assert.equal(errors(), 1)
    },
  )

  inWorld('what is closed has no timers left, and answers still', async world => {
    await idcOf(world, '', '10.1.2.3')
    world.armory.close()
    await until(world.clock, () => world.clock.timerCount === 0)
    assert.equal(await idcOf(world, '', '10.1.2.3'), 'north')
  })
}
