import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { formatHostPort, hostPortIn, isHostPort, parseHostPort } from './host-port.ts'

test('an address is a host with an optional port, IPv6 in brackets', () => {
  const table: [text: string, host: string, port: number][] = [
    ['supernode', 'supernode', 8002],
    ['supernode:9000', 'supernode', 9000],
    ['10.0.0.1:65535', '10.0.0.1', 65_535],
    ['[2001:db8::1]', '2001:db8::1', 8002],
    ['[::ffff:10.0.0.1]:1', '::ffff:10.0.0.1', 1],
    [' supernode:9000\n', 'supernode', 9000],
  ]
  for (const [text, host, port] of table) assert.deepEqual(parseHostPort(text, 8002), { host, port }, text)
})

test('what is not an address is a usage error', () => {
  const table = [
    '',
    ':80',
    'host:',
    'host:0',
    'host:65536',
    'host:1e3',
    'host:-1',
    '2001:db8::1',
    '[::1',
    '::1]',
  ]
  for (const text of [
    ...table,
    '[host]:1',
    'http://host:1',
    'host:1/x',
    'a b:1',
    '[::1]x:1',
    'host:123456',
  ]) {
    assert.throws(() => parseHostPort(text, 8002), { code: 'USAGE' }, text)
  }
})

test('a formatted address parses to itself', () => {
  const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain())
  fc.assert(
    fc.property(fc.record({ host, port: fc.integer({ min: 1, max: 65_535 }) }), address => {
      assert.deepEqual({ ...parseHostPort(formatHostPort(address), 1) }, { ...address })
    }),
  )
})

test('somebody can be reached only where host and port mean nothing but that', () => {
  for (const host of [
    'a',
    'supernode',
    'a.b-c_d.example',
    '10.0.0.1',
    '::1',
    '2001:db8::1',
    '::ffff:10.0.0.1',
  ]) {
    assert.ok(isHostPort({ host, port: 1 }), host)
  }
  const bad = [
    '',
    ' ',
    'a b',
    'a\r\nb',
    'a\n',
    '[::1]',
    'a:80',
    '/etc',
    'a/b',
    'a@b',
    'a?b',
    '-a',
    'a'.repeat(254),
    'é',
  ]
  for (const host of bad) assert.ok(!isHostPort({ host, port: 1 }), host)
  for (const port of [0, -1, 65_536, 1.5, Number.NaN]) assert.ok(!isHostPort({ host: 'a', port }), `${port}`)
})

test('a text that is no address, or one that would mean more in a URL, holds none', () => {
  assert.deepEqual(hostPortIn('registry.example', 443), { host: 'registry.example', port: 443 })
  for (const text of ['', 'a b', 'user@registry.example', 'host:0', '-host']) {
    assert.equal(hostPortIn(text, 443), null, text)
  }
})
