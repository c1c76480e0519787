import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { seededRandom } from './random.ts'
import { formatWeightedNode, orderNodes, parseWeightedNode, type WeightedNode } from './weighted-node.ts'

const node = (text: string) => parseWeightedNode(text, 8002)
const hosts = (nodes: readonly WeightedNode[], seed: number) =>
  orderNodes(nodes, seededRandom(seed)).map(({ host }) => host)

test('a node is an address with an optional port and weight, IPv6 in brackets', () => {
  const table: [text: string, host: string, port: number, weight: number | null][] = [
    ['supernode', 'supernode', 8002, null],
    ['supernode=3', 'supernode', 8002, 3],
    ['10.0.0.1:9000=10', '10.0.0.1', 9000, 10],
    ['[2001:db8::1]', '2001:db8::1', 8002, null],
    ['[2001:db8::1]:9000=2', '2001:db8::1', 9000, 2],
    ['supernode:9000=0', 'supernode', 9000, 0],
  ]
  for (const [text, host, port, weight] of table) {
    assert.deepEqual(node(text), { address: { host, port }, weight }, text)
    assert.deepEqual(node(formatWeightedNode(node(text))), node(text))
  }
})

test('what is not a node is a usage error', () => {
  for (const text of [
    '',
    '=1',
    'a=',
    'a=b',
    'a=-1',
    'a=1.5',
    'a=1=2',
    'a:b=1',
    '2001:db8::1=1',
    'a=99999999',
  ]) {
    assert.throws(() => node(text), { code: 'USAGE' }, text)
  }
})

test('without weights the given order stays', () => {
  assert.deepEqual(hosts(['c', 'a', 'b'].map(node), 1), ['c', 'a', 'b'])
})

test('a weight of 0 takes a node out, and the last one leaves nothing', () => {
  assert.deepEqual(hosts([node('a=0'), node('b')], 1), ['b'])
  assert.deepEqual(hosts([node('a=0')], 1), [])
})

test('a node comes first as often as its share of the weights says', () => {
  const nodes = [node('a=6'), node('b=3'), node('c')]
  const first = { a: 0, b: 0, c: 0 }
  for (let seed = 0; seed < 10_000; seed++) first[hosts(nodes, seed)[0] as 'a' | 'b' | 'c']++
  assert.ok(Math.abs(first.a - 6_000) < 250 && Math.abs(first.b - 3_000) < 250, JSON.stringify(first))
})

test('every node with a weight is tried once', () => {
  const weights = fc.array(fc.option(fc.integer({ min: 0, max: 9 }), { nil: null }), { maxLength: 8 })
  fc.assert(
    fc.property(weights, fc.integer(), (given, seed) => {
      const nodes = given.map((weight, i) => ({ address: { host: `h${i}`, port: 1 }, weight }))
      const expected = nodes.filter(({ weight }) => weight !== 0).map(({ address }) => address.host)
      assert.deepEqual(hosts(nodes, seed).sort(), expected.sort())
    }),
  )
})
