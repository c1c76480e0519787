import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fc } from '../../test/support/properties.ts'
import { PLAIN_READING, readTaskUrl, writeTaskUrl } from './task-url.ts'

const URL_A = 'https://host/a?x=1&key=2'
const NAMED = 'ab'.repeat(16)

test('a plain reading leaves the URL without a fragment', () => {
  assert.equal(writeTaskUrl(URL_A, PLAIN_READING), URL_A)
  assert.equal(writeTaskUrl(`${URL_A}#top`, PLAIN_READING), URL_A)
})

test('a reading has one form', () => {
  const written = `${URL_A}#!filter=a%26b,key&trust=any`
  assert.equal(writeTaskUrl(URL_A, { filter: ['key', '', 'a&b', 'key'], trust: 'any' }), written)
  assert.equal(writeTaskUrl(URL_A, { filter: [], trust: NAMED }), `${URL_A}#!trust=${NAMED}`)
})

test('what was written is read, after whatever fragment stood there', () => {
  const filter = fc.uniqueArray(fc.string({ minLength: 1, unit: 'grapheme' }), { maxLength: 4 })
  const trust = fc.constantFrom('', 'any', NAMED)
  const isWellFormed = (names: string[]) => names.every(name => name.isWellFormed())
  fc.assert(
    fc.property(filter.filter(isWellFormed), trust, fc.webFragments(), (names, whom, fragment) => {
      const reading = readTaskUrl(writeTaskUrl(`${URL_A}#${fragment}`, { filter: names, trust: whom }))
      assert.deepEqual(reading, { filter: names.toSorted(), trust: whom })
    }),
  )
})

test('a fragment that is none of ours says nothing', () => {
  for (const fragment of [
    '',
    '#',
    '#top',
    '#filter=a',
    '#!',
    '#!trust=me',
    '#!filter=%',
    '#!filter=a#!',
    '#!x&trust=any',
  ]) {
    assert.deepEqual(readTaskUrl(URL_A + fragment), PLAIN_READING, fragment)
  }
})
