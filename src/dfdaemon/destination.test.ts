import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { Destinations } from './destination.ts'

const OWN_PORT = 65_001

/** Answers each question with the next of these addresses. */
function namesThatMean(...answers: string[]): LookupFunction {
  return (_name, options, callback) => {
    const address = answers.shift()!
    const all: LookupAddress[] = [{ address, family: 4 }]
    process.nextTick(() => (options.all ? callback(null, all) : callback(null, address, 4)))
  }
}

const destinations = new Destinations(() => OWN_PORT)

describe('where nobody is sent', () => {
  for (const port of [22, 25, 139, 2049, 6000, 6667, 10_080]) {
    test(`port ${port}`, () => {
      assert.throws(() => destinations.check({ host: 'registry.example', port }), { code: 'ORIGIN_BLOCKED' })
    })
  }

  for (const port of [80, 443, 5000, 8080, 65_001]) {
    test(`port ${port} of another host is none of it`, () => {
      assert.doesNotThrow(() => destinations.check({ host: '192.0.2.1', port }))
    })
  }

  const interfaces = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? [])
  for (const host of [
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '::1',
    '::',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    ...interfaces.map(({ address }) => address).filter(address => !address.startsWith('fe80')),
  ]) {
    test(`the daemon itself at ${host}`, () => {
      assert.throws(() => destinations.check({ host, port: OWN_PORT }), { code: 'ORIGIN_LOOP' })
      assert.doesNotThrow(() => destinations.check({ host, port: 5000 }))
    })
  }

  test('a name that means the daemon', async () => {
    const to = { host: 'localhost', port: OWN_PORT }
    await assert.rejects(destinations.checkName(to), { code: 'ORIGIN_LOOP', message: /this daemon itself/ })
    await destinations.checkName({ ...to, port: 5000 })
  })

  test('an address in the forms that only the system understands', async () => {
    for (const host of ['127.1', '2130706433', '0x7f.1']) {
      await assert.rejects(destinations.checkName({ host, port: OWN_PORT }), { code: 'ORIGIN_LOOP' })
    }
  })

  test('a name that means another host when it is checked and the daemon when it is dialled', async () => {
    const rebinding = new Destinations(() => OWN_PORT, namesThatMean('192.0.2.1', '127.0.0.1'))
    const to = { host: 'rebound.example', port: OWN_PORT }
    await rebinding.checkName(to)
    const lookup = promisify(rebinding.lookupFor(to)!)
    await assert.rejects(lookup(to.host, {}), { code: 'ORIGIN_LOOP' })
  })

  test('a name that nobody knows is left to whoever dials it', async () => {
    const unknown: LookupFunction = (_name, _options, callback) => callback(new Error('ENOTFOUND'), '', 0)
    await new Destinations(() => OWN_PORT, unknown).checkName({ host: 'nowhere.example', port: OWN_PORT })
    assert.equal(destinations.lookupFor({ host: 'nowhere.example', port: 80 }), undefined)
  })
})
