import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as claim, unreachable } from './assert.ts'

test('a claim that holds passes, one that does not throws with its text', () => {
  claim(1, 'one is true')
  for (const falsy of [false, 0, '', null, undefined]) {
    assert.throws(() => claim(falsy, 'it holds'), { message: 'assertion failed: it holds' })
  }
})

test('a value that no branch expected is named', () => {
  assert.throws(() => unreachable({ kind: 'surprise' } as never), /unreachable: {"kind":"surprise"}/)
})
