import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { describe, test } from 'node:test'
import { parseCidr } from '../core/ip-address.ts'
import { silentLog } from '../ops/log.ts'
import { ClientGate } from './clients.ts'

const from = (remoteAddress: string | undefined, authorization?: string) =>
  ({ socket: { remoteAddress }, headers: { 'proxy-authorization': authorization } }) as IncomingMessage

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`

describe('who may use the daemon', () => {
  for (const [address, allowed, isLet] of [
    ['127.0.0.1', '127.0.0.1/32', true],
    ['127.0.0.2', '127.0.0.1/32', false],
    ['::ffff:127.0.0.1', '127.0.0.0/8', true],
    ['127.0.0.1', '::ffff:127.0.0.0/104', true],
    ['::1', '127.0.0.0/8', false],
    ['::1', '::1/128', true],
    ['10.9.8.7', '10.0.0.0/8', true],
    ['11.0.0.1', '10.0.0.0/8', false],
    ['192.0.2.1', '0.0.0.0/0', true],
    ['2001:db8::1', '0.0.0.0/0', false],
    ['2001:db8:0:1::1', '2001:db8::/48', true],
    ['2001:db8:1::1', '2001:db8::/48', false],
    ['fe80::1%eth0', 'fe80::/10', true],
    [undefined, '::/0', false],
  ] as const) {
    test(`a client at ${address} ${isLet ? 'belongs' : 'does not belong'} to ${allowed}`, () => {
      const gate = new ClientGate({ allowed: [parseCidr(allowed)], credentials: null }, silentLog)
      assert.equal(gate.lets(from(address)), isLet)
    })
  }
})

describe('what opens the proxy', () => {
  const credentials = { user: 'Jörg', password: 'open: sesame' }
  const gate = new ClientGate({ allowed: [], credentials }, silentLog)

  for (const [shown, isOpened] of [
    [basic('Jörg:open: sesame'), true],
    [basic('Jörg:open: sesame').replace('Basic', 'bAsIc  '), true],
    [basic('Jörg:open: sesam'), false],
    [basic('Jörg:open: sesame '), false],
    [basic('jörg:open: sesame'), false],
    [basic('Jörg'), false],
    ['Basic', false],
    ['Basic !', false],
    [basic('Jörg:open: sesame').replace('Basic', 'Bearer'), false],
    ['', false],
    [undefined, false],
  ] as const) {
    test(`"${shown}" ${isOpened ? 'opens' : 'does not open'} it`, () => {
      assert.equal(gate.opensProxy(from('127.0.0.1', shown)), isOpened)
    })
  }

  test('where no credentials are set, all that comes opens it', () => {
    const open = new ClientGate({ allowed: [], credentials: null }, silentLog)
    assert.ok(open.opensProxy(from('127.0.0.1')) && open.opensProxy(from('127.0.0.1', 'Basic !')))
  })
})
