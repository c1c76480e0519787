import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import { type ArmoryService, startArmoryService } from '../../../test/support/armory-service.ts'
import { keptLog } from '../../../test/support/kept-log.ts'
import { MovedClock } from '../../../test/support/moved-clock.ts'
import { createOrigins } from '../../origin/origin.ts'
import { createHttpArmory, type HttpArmoryOptions } from './http-armory.ts'

const NOWHERE = { securityDomain: null, idc: null, location: null, rack: null }
const NORTH = { ...NOWHERE, idc: 'north' }

const say = (text: string, status = 200): ArmoryService['answer'] => {
  return (_request, response) => response.writeHead(status).end(text)
}
const sayNorth = say('{"idc":"north"}')

async function setup(t: TestContext, options: Partial<HttpArmoryOptions> = {}) {
  const [clock, log] = [new MovedClock(), keptLog()]
  const service = await startArmoryService(sayNorth)
  const timeouts = { connectMs: 100_000, headMs: 100_000, idleMs: 100_000 }
  const armory = createHttpArmory({
    urlTemplate: `${service.url.replace('//', '//user:secret@')}/where/{address}`,
    origin: createOrigins({ clock, timeouts }),
    defaultPlace: NOWHERE,
    clock,
    log,
    cacheMs: 60_000,
    failuresMax: 3,
    restMs: 10_000,
    ...options,
  })
  t.after(async () => {
    armory.close()
    await service.close()
    assert.ok(!log.text.includes('secret'))
  })
  const idcOf = async (...addresses: string[]) => (await armory.where({ hostName: '', addresses })).place.idc
  return { clock, log, service, armory, idcOf }
}

test('the service is asked with its credentials, once per address for as long as answers are fresh', async t => {
  const { service, armory, idcOf, clock } = await setup(t)
  const [one, other] = await Promise.all([
    armory.where({ hostName: 'a', addresses: ['10.0.0.1'] }),
    armory.where({ hostName: 'b', addresses: ['::ffff:10.0.0.1'] }),
  ])
  assert.deepEqual(one, { place: NORTH, isKnown: true })
  assert.deepEqual(other, one)
  assert.deepEqual(service.targets, ['/where/10.0.0.1'])
  const { headers } = service.requests[0]
  assert.equal(headers.accept, 'application/json')
  assert.equal(headers.authorization, `Basic ${btoa('user:secret')}`)

  service.answer = say('', 404)
  assert.equal(await idcOf('10.0.0.1'), 'north')
  assert.equal(await idcOf('10.0.0.2'), null)
  clock.moveOn(59_000)
  assert.equal(await idcOf('10.0.0.2', '10.0.0.1'), 'north')
  assert.equal(service.targets.length, 2)
  clock.moveOn(1_000)
  assert.equal(await idcOf('10.0.0.1'), null)
  assert.equal(service.targets.length, 3)
})

test('what is not a place is a failure', async t => {
  const { service, armory, log } = await setup(t, { failuresMax: 1_000 })
  const answers: [text: string, status: number, code: string][] = [
    ['', 200, 'PROTOCOL_INVALID'],
    ['[]', 200, 'PROTOCOL_INVALID'],
    ['null', 200, 'PROTOCOL_INVALID'],
    ['{"idc":7}', 200, 'PROTOCOL_INVALID'],
    ['{"idc":""}', 200, 'PROTOCOL_INVALID'],
    ['{"idc":"a","zone":"b"}', 200, 'PROTOCOL_INVALID'],
    ['{"idc":"a\\nb"}', 200, 'PROTOCOL_INVALID'],
    [`{"idc":"${'x'.repeat(257)}"}`, 200, 'PROTOCOL_INVALID'],
    [`{"idc":"a"}${' '.repeat(16 * 1024)}`, 200, 'PROTOCOL_INVALID'],
    ['{"idc":"a"}', 500, 'ORIGIN_ERROR'],
    ['{"idc":"a"}', 401, 'ORIGIN_UNAUTHORIZED'],
  ]
  for (const [text, status, code] of answers) {
    service.answer = say(text, status)
    const answer = await armory.where({ hostName: '', addresses: ['10.0.0.1'] })
    assert.deepEqual(answer, { place: NOWHERE, isKnown: false }, text.slice(0, 50))
    assert.equal((log.lines.at(-1)!.facts as { code: string }).code, code)
  }
  service.answer = say('{"idc":"a","rack":null}')
  assert.deepEqual(await armory.where({ hostName: '', addresses: ['10.0.0.1'] }), {
    place: { ...NOWHERE, idc: 'a' },
    isKnown: true,
  })
})

test('an endless answer is not read to its end', async t => {
  const { service, idcOf } = await setup(t)
  const gone = Promise.withResolvers<void>()
  service.answer = (_request, response) => {
    response.on('close', gone.resolve)
    const write = () => {
      while (response.write(' '.repeat(1024)));
      response.once('drain', write)
    }
    write()
  }
  assert.equal(await idcOf('10.0.0.1'), null)
  await gone.promise
})

test('all questions about a host take no longer than the time-out, and end with the armory', async t => {
  const { service, idcOf, clock, armory } = await setup(t, { timeoutMs: 60_000 })
  const asked: ServerResponse[] = []
  let onAsked = () => {}
  service.answer = (_request, response) => {
    asked.push(response)
    onAsked()
  }
  const isAsked = () => new Promise<void>(resolve => (onAsked = resolve))
  let next = isAsked()
  const first = idcOf('10.0.0.1', '10.0.0.2', '10.0.0.3')
  await next
  next = isAsked()
  clock.moveOn(36_000)
  asked[0].writeHead(404).end()
  await next
  clock.moveOn(24_000)
  assert.equal(await first, null)
  assert.equal(asked.length, 2)

  next = isAsked()
  const second = idcOf('10.0.0.4')
  await next
  armory.close()
  assert.equal(await second, null)
  assert.equal(await idcOf('10.0.0.5'), null)
  assert.equal(asked.length, 3)
})

test('a service that is out of order is left alone for a while, then asked once', async t => {
  const { service, idcOf, clock, log } = await setup(t)
  assert.equal(await idcOf('10.0.0.9'), 'north')
  service.answer = say('', 500)
  clock.moveOn(60_000)
  for (let index = 1; index <= 5; index++) assert.equal(await idcOf(`10.0.0.${index}`), null)
  assert.equal(service.targets.length, 4)
  // What it said before is better than nothing.
  assert.equal(await idcOf('10.0.0.9'), 'north')
  assert.equal(service.targets.length, 4)

  clock.moveOn(10_000)
  await Promise.all(['10.0.0.1', '10.0.0.2', '10.0.0.3'].map(address => idcOf(address)))
  assert.equal(service.targets.length, 5)

  service.answer = sayNorth
  assert.equal(await idcOf('10.0.0.1'), null)
  clock.moveOn(10_000)
  assert.equal(await idcOf('10.0.0.1'), 'north')
  assert.equal(await idcOf('10.0.0.2'), 'north')
  const said = log.lines.filter(({ level }) => level !== 'debug').map(({ level }) => level)
  assert.deepEqual(said, ['error', 'info'])
})

test('the memory for answers is bounded, the oldest answer goes first', async t => {
  const { service, idcOf } = await setup(t, { cacheEntriesMax: 3 })
  for (let index = 1; index <= 4; index++) await idcOf(`10.0.0.${index}`)
  for (let index = 2; index <= 4; index++) await idcOf(`10.0.0.${index}`)
  assert.equal(service.targets.length, 4)
  await idcOf('10.0.0.1')
  assert.equal(service.targets.length, 5)
})

test('questions beyond the bound are answered at once', async t => {
  const { service, idcOf } = await setup(t)
  const held: ServerResponse[] = []
  const full = Promise.withResolvers<void>()
  service.answer = (_request, response) => {
    held.push(response)
    if (held.length === 256) full.resolve()
  }
  const pending = Array.from({ length: 256 }, (_, index) => idcOf(`10.0.0.${index}`))
  assert.equal(await idcOf('10.0.1.0'), null)
  await full.promise
  for (const response of held) response.end('{"idc":"north"}')
  assert.ok((await Promise.all(pending)).every(idc => idc === 'north'))
  assert.equal(service.targets.length, 256)
})
