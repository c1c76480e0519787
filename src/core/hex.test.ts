import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { decodeHex, encodeHex } from './hex.ts'

test('hex is what Buffer writes and reads', () => {
  fc.assert(
    fc.property(fc.uint8Array(), bytes => {
      const hex = encodeHex(bytes)
      assert.equal(hex, Buffer.from(bytes).toString('hex'))
      assert.deepEqual(decodeHex(hex), bytes)
    }),
  )
})

test('only pairs of lower-case digits decode', () => {
  for (const text of ['0', 'AB', 'zz', '0x', ' 00', '00\n']) assert.throws(() => decodeHex(text), text)
})
