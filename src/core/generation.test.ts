import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { parseDigest } from './digest.ts'
import {
  type GenerationSource,
  generationOf,
  hasValidator,
  isGeneration,
  NO_VALIDATOR,
} from './generation.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
const name = (source: GenerationSource) => generationOf(source, sha256)

const DIGEST = parseDigest(`sha256:${'1'.repeat(64)}`)
const BASE: GenerationSource = {
  validator: { etag: '"a"', lastModified: 'Thu, 01 Jan 2026 00:00:00 GMT' },
  lengthBytes: 100,
  nonce: 'n1',
}
const DATED: GenerationSource = { ...BASE, validator: { ...BASE.validator, etag: null } }

test('a generation is 16 lower-case hex digits', () => {
  assert.equal(isGeneration(name(BASE)), true)
  for (const value of ['', 'A'.repeat(16), 'a'.repeat(15), 'a'.repeat(17), 5, null]) {
    assert.equal(isGeneration(value), false)
  }
})

test('generations are the same in every release', () => {
  assert.equal(name(BASE), 'e1e2c1b92f64756a')
  assert.equal(name(DATED), '802e173e820b6e53')
  assert.equal(name({ ...BASE, expectedDigest: DIGEST }), '4f2ffe4c142799db')
  assert.equal(name({ ...BASE, validator: NO_VALIDATOR }), '06dcf60bacba448c')
})

test('where there is an ETag it decides alone', () => {
  assert.equal(name({ ...BASE, lengthBytes: null, nonce: 'n2' }), name(BASE))
  assert.equal(name({ ...BASE, validator: { etag: '"a"', lastModified: null } }), name(BASE))
  assert.notEqual(name({ ...BASE, validator: { ...BASE.validator, etag: '"b"' } }), name(BASE))
})

test('a date without an ETag needs the length beside it', () => {
  const later = { etag: null, lastModified: 'Fri, 02 Jan 2026 00:00:00 GMT' }
  assert.equal(name({ ...DATED, nonce: 'n2' }), name(DATED))
  const versions = [BASE, DATED, { ...DATED, lengthBytes: 101 }, { ...DATED, lengthBytes: null }]
  assert.equal(new Set([...versions, { ...DATED, validator: later }].map(name)).size, 5)
})

test('an ETag is never taken for a Last-Modified', () => {
  const asEtag = { ...BASE, validator: { etag: 'x', lastModified: null } }
  const asDate = { ...BASE, validator: { etag: null, lastModified: 'x' } }
  assert.notEqual(name(asEtag), name(asDate))
})

test('content named by its digest has one generation whatever the origin says', () => {
  const first = name({ ...BASE, expectedDigest: DIGEST })
  assert.equal(
    name({ expectedDigest: DIGEST, validator: NO_VALIDATOR, lengthBytes: null, nonce: 'n2' }),
    first,
  )
})

test('without a validator every attempt is its own generation, even at equal length', () => {
  const bare = { ...BASE, validator: NO_VALIDATOR }
  assert.notEqual(name(bare), name({ ...bare, nonce: 'n2' }))
})

test('either field alone is a validator', () => {
  assert.equal(hasValidator(NO_VALIDATOR), false)
  assert.equal(hasValidator({ etag: '"a"', lastModified: null }), true)
  assert.equal(hasValidator({ etag: null, lastModified: 'x' }), true)
})
