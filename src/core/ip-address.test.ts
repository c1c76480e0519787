import assert from 'node:assert/strict'
import { BlockList, isIP } from 'node:net'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import {
  type Cidr,
  formatCidr,
  formatIpAddress,
  type IpAddress,
  maskWord,
  parseCidr,
  parseIpAddress,
} from './ip-address.ts'

test('an address is one or four words', () => {
  const table: [text: string, family: 4 | 6, words: number[]][] = [
    ['0.0.0.0', 4, [0]],
    ['10.1.2.3', 4, [0x0a010203]],
    ['255.255.255.255', 4, [0xffffffff]],
    ['::', 6, [0, 0, 0, 0]],
    ['::1', 6, [0, 0, 0, 1]],
    ['2001:DB8::a', 6, [0x20010db8, 0, 0, 0xa]],
    ['1:2:3:4:5:6:7:8', 6, [0x10002, 0x30004, 0x50006, 0x70008]],
    ['1::3:4:5:6:7:8', 6, [0x10000, 0x30004, 0x50006, 0x70008]],
    ['64:ff9b::10.0.0.1', 6, [0x64ff9b, 0, 0, 0x0a000001]],
    ['::10.0.0.1', 6, [0, 0, 0, 0x0a000001]],
    ['::ffff:10.0.0.1', 4, [0x0a000001]],
    ['0:0:0:0:0:FFFF:a00:1', 4, [0x0a000001]],
  ]
  for (const [text, family, words] of table) assert.deepEqual(parseIpAddress(text), { family, words }, text)
})

test('what is no address of every link is null', () => {
  const table = [
    '',
    ' ',
    '10.0.0',
    '10.0.0.0.1',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.1 ',
    '0x0a.0.0.1',
    '1e1.0.0.1',
  ]
  const table6 = [
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
    '12345::',
    'g::',
  ]
  const more = [
    'fe80::1%eth0',
    '[::1]',
    '::1/64',
    '10.0.0.1::',
    '::10.0.0.1:1',
    ':1',
    '1:',
    '::ffff:10.0.0',
    '::ffff:01.0.0.1',
  ]
  for (const text of [...table, ...table6, ...more]) {
    assert.equal(parseIpAddress(text), null, text)
  }
})

const hexish = fc
  .array(fc.constantFrom(':', '::', '.', '0', '1', 'f', 'ffff', '10.0.0.1', '255', '256', '%e', 'g'), {
    maxLength: 17,
  })
  .map(parts => parts.join(''))

test('it agrees with the runtime about what is an address', () => {
  const texts = fc.oneof(hexish, fc.ipV4(), fc.ipV4Extended(), fc.ipV6(), fc.string())
  fc.assert(
    fc.property(texts, text => {
      const address = parseIpAddress(text)
      if (text.includes('%')) assert.equal(address, null)
      else assert.equal(address !== null, isIP(text) !== 0, text)
    }),
    { numRuns: 2_000 },
  )
})

const address4 = fc.nat({ max: 0xffffffff }).map((word): IpAddress => ({ family: 4, words: [word] }))
const address6 = fc
  .array(fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x10000, 0xffffffff), fc.nat({ max: 0xffffffff })), {
    minLength: 4,
    maxLength: 4,
  })
  .filter(words => !(words[0] === 0 && words[1] === 0 && words[2] === 0xffff))
  .map((words): IpAddress => ({ family: 6, words }))
const cidr = fc
  .tuple(fc.oneof(address4, address6), fc.nat())
  .map(([{ family, words }, chance]): Cidr => {
    const length = chance % (family === 4 ? 33 : 129)
    return { family, words: words.map((word, index) => maskWord(word, length - 32 * index)), length }
  })
  // The prefix would be one of IPv4, written otherwise.
  .filter(({ family, words, length }) => family === 4 || length < 96 || words[2] !== 0xffff)

test('what is formatted parses to itself', () => {
  fc.assert(
    fc.property(fc.oneof(address4, address6), address => {
      assert.deepEqual(parseIpAddress(formatIpAddress(address)), address)
    }),
  )
  fc.assert(fc.property(cidr, block => assert.deepEqual(parseCidr(formatCidr(block)), block)))
})

test('an address is written in one way', () => {
  const table: [written: string, canonical: string][] = [
    ['2001:0DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['1:2:3:0:5:6:7:8', '1:2:3:0:5:6:7:8'],
    ['::ffff:a00:1', '10.0.0.1'],
  ]
  for (const [written, canonical] of table) {
    assert.equal(formatIpAddress(parseIpAddress(written)!), canonical)
  }
})

test('a prefix is an address and a length', () => {
  const table: [text: string, canonical: string][] = [
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['10.1.2.3', '10.1.2.3/32'],
    ['2001:db8::/32', '2001:db8::/32'],
    ['::/0', '::/0'],
    ['::1', '::1/128'],
    ['2001:db8::8000:0/97', '2001:db8::8000:0/97'],
    ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
  ]
  for (const [text, canonical] of table) assert.equal(formatCidr(parseCidr(text)), canonical)
})

test('what is no prefix is a usage error that says why', () => {
  const table: [text: string, message: RegExp][] = [
    ['', /is not a CIDR/],
    ['10.0.0.0/8/8', /is not a CIDR/],
    ['host/8', /is not a CIDR/],
    ['fe80::%eth0/64', /is not a CIDR/],
    ['10.0.0.0/', /prefix length/],
    ['10.0.0.0/33', /prefix length that an IPv4/],
    ['10.0.0.0/-1', /prefix length/],
    ['10.0.0.0/08', /prefix length/],
    ['10.0.0.0/255.0.0.0', /prefix length/],
    ['::/129', /prefix length that an IPv6/],
    ['::ffff:10.0.0.0/8', /prefix length that an IPv6/],
    ['10.0.0.1/8', /write 10\.0\.0\.0\/8/],
    ['2001:db8:1::/32', /write 2001:db8::\/32/],
  ]
  for (const [text, message] of table) assert.throws(() => parseCidr(text), { code: 'USAGE', message }, text)
})

test('it agrees with the runtime about what lies in a prefix', () => {
  const inside = fc.tuple(
    cidr,
    fc.array(fc.nat({ max: 0xffffffff }), { minLength: 4, maxLength: 4 }),
    fc.boolean(),
  )
  fc.assert(
    fc.property(inside, ([block, noise, isInside]) => {
      const words = block.words.map((word, index) => {
        const random = noise[index]
        return isInside ? (word | (random ^ maskWord(random, block.length - 32 * index))) >>> 0 : random
      })
      const address: IpAddress = { family: block.family, words }
      const family = block.family === 4 ? 'ipv4' : 'ipv6'
      const list = new BlockList()
      list.addSubnet(formatIpAddress(block), block.length, family)
      const isIn = words.every(
        (word, index) => maskWord(word, block.length - 32 * index) === block.words[index],
      )
      assert.equal(isIn, list.check(formatIpAddress(address), family))
    }),
  )
})
