import assert from 'node:assert/strict'
import { it } from 'node:test'
import { endToEnd, fieldsOf, fieldValue } from './fields.ts'

it('what counts for one hop, and what Connection names, stays behind; the rest keeps order, case and repetition', () => {
  const raw = ['B-Two', '2', 'Connection', 'close, X-Secret', 'a', '1', 'TE', 'trailers', 'x-secret', 's']
  const fields = fieldsOf([...raw, 'A', '3', 'Transfer-Encoding', 'chunked', 'Upgrade', 'h2c'])
  assert.deepEqual(endToEnd(fields), [
    ['B-Two', '2'],
    ['a', '1'],
    ['A', '3'],
  ])
  assert.equal(fieldValue(fields, 'a'), '1')
  assert.equal(fieldValue(fields, 'c'), null)
})
