import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../../test/support/properties.ts'
import {
  type Cidr,
  formatCidr,
  type IpAddress,
  maskWord,
  parseCidr,
  parseIpAddress,
} from '../../core/ip-address.ts'
import { PrefixTable } from './prefix-table.ts'

const tableOf = (blocks: readonly string[]) => {
  const table = new PrefixTable()
  for (const [index, block] of blocks.entries()) assert.equal(table.add(parseCidr(block), index), null)
  return (...addresses: string[]) => {
    const found = table.find(addresses.map(address => parseIpAddress(address)!))
    return found === null ? null : blocks[found]
  }
}

test('the longest prefix wins', () => {
  const find = tableOf(['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3/32', '2001:db8::/32', '2001:db8:1::/48'])
  assert.equal(find('10.2.0.1'), '10.0.0.0/8')
  assert.equal(find('10.1.0.1'), '10.1.0.0/16')
  assert.equal(find('10.1.2.3'), '10.1.2.3/32')
  assert.equal(find('::ffff:10.1.2.3'), '10.1.2.3/32')
  assert.equal(find('11.0.0.1'), null)
  assert.equal(find('2001:db8:2::1'), '2001:db8::/32')
  assert.equal(find('2001:db8:1::1'), '2001:db8:1::/48')
  assert.equal(find('::1'), null)
  assert.equal(find(), null)
})

test('of several addresses the one in the longest prefix decides, of equally long ones the first', () => {
  const find = tableOf(['0.0.0.0/0', '::/0', '10.0.0.0/8', '11.0.0.0/8', '2001:db8::/32'])
  assert.equal(find('10.0.0.1', '2001:db8::1'), '2001:db8::/32')
  assert.equal(find('9.9.9.9', '11.0.0.1'), '11.0.0.0/8')
  assert.equal(find('11.0.0.1', '10.0.0.1'), '11.0.0.0/8')
  assert.equal(find('9.9.9.9'), '0.0.0.0/0')
  assert.equal(find('::1'), '::/0')
})

test('a prefix that is there already stays, and is said', () => {
  const table = new PrefixTable()
  assert.equal(table.add(parseCidr('10.0.0.0/8'), 7), null)
  assert.equal(table.add(parseCidr('::ffff:10.0.0.0/104'), 8), 7)
  assert.equal(table.add(parseCidr('10.0.0.0/9'), 9), null)
  // Not one of IPv4.
  assert.equal(table.add(parseCidr('a00::/8'), 10), null)
})

/** Few bits, so that prefixes nest. */
const word = fc.nat({ max: 15 }).map(bits => ((bits & 12) << 28) | (bits & 3))
const address = fc.oneof(
  word.map((bits): IpAddress => ({ family: 4, words: [bits >>> 0] })),
  fc
    .array(word, { minLength: 4, maxLength: 4 })
    .map((words): IpAddress => ({ family: 6, words: words.map(bits => bits >>> 0) })),
)
const block = fc.tuple(address, fc.nat()).map(([{ family, words }, chance]): Cidr => {
  const length = chance % (family === 4 ? 33 : 129)
  return { family, words: words.map((bits, index) => maskWord(bits, length - 32 * index)), length }
})

test('it finds what a search through all prefixes finds', () => {
  const blocks = fc.uniqueArray(block, { selector: formatCidr, maxLength: 200 })
  fc.assert(
    fc.property(blocks, fc.array(address, { maxLength: 3 }), (blocks, addresses) => {
      const table = new PrefixTable()
      for (const [index, block] of blocks.entries()) table.add(block, index)
      const fits = ({ family, words, length }: Cidr) =>
        addresses.some(
          address =>
            address.family === family &&
            words.every((bits, index) => maskWord(address.words[index], length - 32 * index) === bits),
        )
      const longest = Math.max(-1, ...blocks.filter(fits).map(({ length }) => length))
      const found = table.find(addresses)
      assert.equal(found === null ? -1 : blocks[found].length, longest)
      if (found !== null) assert.ok(fits(blocks[found]))
    }),
  )
})
