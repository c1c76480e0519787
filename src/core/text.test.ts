import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import {
  concatBytes,
  decodeLatin1,
  decodeUtf8,
  encodeUtf8,
  hasControlCharacter,
  replaceControlCharacters,
} from './text.ts'

test('text survives UTF-8, a leading byte-order mark included', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      assert.equal(decodeUtf8(encodeUtf8(text)), text)
    }),
  )
  assert.equal(decodeUtf8(encodeUtf8('\ufeffx')), '\ufeffx')
})

test('bytes that are not UTF-8 are refused', () => {
  assert.throws(() => decodeUtf8(Uint8Array.of(0xff)), TypeError)
  assert.throws(() => decodeUtf8(Uint8Array.of(0xc3)), TypeError)
})

test('every octet is the character of the same code', () => {
  const octets = Uint8Array.from({ length: 256 }, (_, i) => i)
  assert.deepEqual(
    [...decodeLatin1(octets)].map(character => character.charCodeAt(0)),
    [...octets],
  )
})

test('octets of any number decode', () => {
  const octets = new Uint8Array(300_001).fill(0xe9)
  assert.equal(decodeLatin1(octets), 'é'.repeat(octets.length))
})

test('parts are joined in order', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array()), parts => {
      assert.deepEqual(concatBytes(parts), Uint8Array.from(parts.flatMap(part => [...part])))
    }),
  )
})

test('control characters are found and replaced, and nothing else', () => {
  for (const control of ['\0', '\t', '\n', '\x1b', '\x7f', '\x85', '\x9f']) {
    assert.ok(hasControlCharacter(`a${control}b`))
    assert.equal(replaceControlCharacters(`${control}a${control}`, '?'), '?a?')
  }
  assert.ok(!hasControlCharacter(' ~\xa0é漢🚀'))
})
