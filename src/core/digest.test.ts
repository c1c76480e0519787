import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { digestBytes, digestOf, isDigest, isVouchedFor, parseDigest, sameBytes } from './digest.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

test('the digest of nothing is the well-known one', () => {
  assert.equal(digestOf(createHash('sha256').digest()), EMPTY)
})

test('bytes become a digest and the digest the same bytes', () => {
  fc.assert(
    fc.property(bytes32, bytes => {
      const digest = digestOf(bytes)
      assert.ok(isDigest(digest))
      assert.deepEqual(digestBytes(digest), bytes)
    }),
  )
})

test('a digest is 32 bytes', () => {
  assert.throws(() => digestOf(new Uint8Array(31)))
})

test('a digest may be typed in any case and with space around it', () => {
  assert.equal(parseDigest(EMPTY), EMPTY)
  assert.equal(parseDigest(` ${EMPTY.toUpperCase()}\n`), EMPTY)
})

test('what is not a SHA-256 digest is a usage error', () => {
  const table = ['', 'sha256:', EMPTY.slice(7), EMPTY.slice(0, -1), `${EMPTY}0`, EMPTY.replace('e3', 'g3')]
  for (const text of [...table, `md5:${'0'.repeat(32)}`, `sha512:${'0'.repeat(64)}`]) {
    assert.throws(() => parseDigest(text), { code: 'USAGE' }, text)
  }
})

test('only the lower-case form is a digest value', () => {
  assert.equal(isDigest(EMPTY), true)
  for (const value of [EMPTY.toUpperCase(), `${EMPTY}\n`, null, 7, {}]) assert.equal(isDigest(value), false)
})

test('bytes are the same where length and every byte are', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      assert.equal(sameBytes(a, b), Buffer.from(a).equals(b))
      assert.equal(sameBytes(a, a.slice()), true)
    }),
  )
})

test('only what is equal is vouched for', () => {
  const digest = new Uint8Array(32).fill(7)
  assert.equal(isVouchedFor(digest, digest.slice()), true)
  for (const expected of [null, undefined, new Uint8Array(32)])
    assert.equal(isVouchedFor(expected, digest), false)
})
